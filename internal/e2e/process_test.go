//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// binary returns the path of a built program; make e2e builds them.
func binary(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("RUEDO_E2E_BIN")
	if dir == "" {
		t.Fatal("RUEDO_E2E_BIN is not set: run these tests with `make e2e`")
	}
	return filepath.Join(dir, name)
}

// process is a child with its output. It is killed when the test ends.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	out    testkit.Log

	mu  sync.Mutex
	err error
}

func (p *process) output() string {
	return p.out.String()
}

// count returns how many lines of the output contain text.
func (p *process) count(text string) int {
	n := 0
	for line := range strings.Lines(p.output()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	return startIn(t, t.TempDir(), env, name, args...)
}

// startIn is start in a directory.
func startIn(t *testing.T, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), exited: make(chan struct{})}
	p.cmd.Env = append(clean(os.Environ()), env...)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := p.cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // already gone if the test ended it
		<-p.exited
		if t.Failed() {
			t.Logf("%s %s:\n%s", filepath.Base(name), strings.Join(args, " "), tail(p.output(), 4000))
		}
	})
	return p
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait returns the exit code.
func (p *process) wait(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("process %d did not end within %s:\n%s", p.cmd.Process.Pid, within, tail(p.output(), 4000))
		return 0
	}
}

// clean removes the settings of the user who runs the tests from an
// environment.
func clean(env []string) []string {
	out := []string{"RUEDO_AUTH_MODE=off"} // most tests are about something else than logins
	for _, e := range env {
		if !strings.HasPrefix(e, "RUEDO_") && !strings.HasPrefix(e, "XDG_") {
			out = append(out, e)
		}
	}
	return out
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// startEtcd starts one etcd that listens on some ports for clients.
func startEtcd(t *testing.T, dir string, ports ...string) *process {
	t.Helper()
	peer := freePort(t)
	var clients []string
	for _, port := range ports {
		clients = append(clients, "http://127.0.0.1:"+port)
	}
	p := start(t, nil, binary(t, "etcd"), "--data-dir", dir, "--log-level", "warn",
		"--listen-client-urls", strings.Join(clients, ","), "--advertise-client-urls", strings.Join(clients, ","),
		"--listen-peer-urls", "http://127.0.0.1:"+peer, "--initial-advertise-peer-urls", "http://127.0.0.1:"+peer,
		"--initial-cluster", "default=http://127.0.0.1:"+peer)
	testkit.Within(t, 20*time.Second, "etcd listens", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+ports[0])
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return p
}

// cluster is one cluster id on a store: its settings, as a user sets them.
type cluster struct {
	t    *testing.T
	env  []string
	port string
}

func newCluster(t *testing.T, id, etcdPort string) *cluster {
	t.Helper()
	port := freePort(t)
	return &cluster{t: t, port: port, env: []string{
		"RUEDO_APPLICATION_CLUSTER_ID=" + id,
		"RUEDO_STORE_ETCD_HOSTS=127.0.0.1:" + etcdPort,
		"RUEDO_SERVER_DISTRIBUTED_EXECUTION=true",
		"RUEDO_SERVER_PORT=" + port,
		"RUEDO_CLIENT_HOST=127.0.0.1:" + port,
		"HOME=" + t.TempDir(),
		"GOCACHE=" + goEnv(t, "GOCACHE"), "GOMODCACHE=" + goEnv(t, "GOMODCACHE"),
	}}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (c *cluster) server() *process {
	c.t.Helper()
	p := start(c.t, append(c.env, "RUEDO_APPLICATION_MODE=server"), binary(c.t, "ruedo"), "server")
	testkit.Within(c.t, 20*time.Second, "server serves", func() bool { return strings.Contains(p.output(), "core is serving") })
	return p
}

func (c *cluster) runner(name string) *process {
	c.t.Helper()
	p := start(c.t, append(c.env, "RUEDO_APPLICATION_MODE=runner", "RUEDO_RUNNER_NAME="+name), binary(c.t, "ruedo"), "runner")
	testkit.Within(c.t, 20*time.Second, "runner registers", func() bool {
		return strings.Contains(p.output(), "registered runner with etcd database")
	})
	return p
}

// ruedo runs one client command and returns its output and exit code.
func (c *cluster) ruedo(args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(c.t, "ruedo"), args...)
	cmd.Env = append(append(clean(os.Environ()), c.env...), "RUEDO_APPLICATION_MODE=client")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if ee, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), errOut.String(), ee.ExitCode()
	}
	if err != nil {
		c.t.Fatalf("ruedo %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errOut.String(), 0
}

func (c *cluster) must(args ...string) string {
	c.t.Helper()
	out, errOut, code := c.ruedo(args...)
	if code != 0 {
		c.t.Fatalf("ruedo %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

type runnerInfo struct{ ID, Name, State string }

// runners returns the output of `ruedo get runners -o json`.
func (c *cluster) runners() []runnerInfo {
	c.t.Helper()
	var list struct{ Items []runnerInfo }
	if err := json.Unmarshal([]byte(c.must("get", "runners", "-o", "json")), &list); err != nil {
		c.t.Fatal(err)
	}
	return list.Items
}

func (c *cluster) ready(n int) {
	c.t.Helper()
	testkit.Within(c.t, 20*time.Second, fmt.Sprintf("%d runners are ready", n), func() bool {
		got := 0
		for _, r := range c.runners() {
			if r.State == "ready" {
				got++
			}
		}
		return got == n
	})
}
