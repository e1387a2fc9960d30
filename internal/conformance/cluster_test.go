package conformance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cluster is a core and a runner, each in a process.
type cluster struct {
	t      *testing.T
	binary string
	env    []string
	url    string // of the core
}

// startCluster returns when the runner is attached. The cluster ends with the test.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	dir := os.Getenv("RUEDO_E2E_BIN")
	if dir == "" {
		t.Fatal("RUEDO_E2E_BIN is not set: run this test with `make conformance`")
	}
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	caches := strings.Fields(string(out))
	if err != nil || len(caches) != 2 {
		t.Fatalf("go env: %v %q", err, out)
	}
	c := &cluster{t: t, binary: filepath.Join(dir, "ruedo"), env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(),
		"GOCACHE=" + caches[0], "GOMODCACHE=" + caches[1],
		"RUEDO_AUTH_MODE=off",
		"RUEDO_RUNNER_COMPILE_TIME=2m", // a busy machine is no failure
	}}
	core := c.start("server", "--port", "0", "--distributed-execution", "--data-dir", t.TempDir())
	c.url = core.await(`msg="core is serving".* url=(\S+)`)
	c.start("runner", "--cores", c.url, "--cache-dir", t.TempDir())
	core.await(`msg="(runner attached)"`)
	return c
}

// ruedo runs a client command.
func (c *cluster) ruedo(args ...string) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), c.binary, args...)
	cmd.Env = append(c.env, "RUEDO_CLIENT_HOST="+c.url)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("ruedo %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// process is a core or a runner.
type process struct {
	t    *testing.T
	name string

	mu  sync.Mutex
	log bytes.Buffer
}

func (c *cluster) start(args ...string) *process {
	t := c.t
	t.Helper()
	p := &process{t: t, name: args[0]}
	cmd := exec.CommandContext(t.Context(), c.binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, p, p
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // the end of the test ends it
		if t.Failed() {
			log := p.output()
			t.Logf("%s, at the end:\n%s", p.name, log[max(0, len(log)-4000):])
		}
	})
	return p
}

// Write takes what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// await waits until the process has printed something, and returns its group.
func (p *process) await(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if m := re.FindStringSubmatch(p.output()); m != nil {
			return m[1]
		}
	}
	p.t.Fatalf("the %s has not said %s:\n%s", p.name, pattern, p.output())
	return ""
}
