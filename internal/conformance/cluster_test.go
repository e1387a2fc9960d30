package conformance

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cluster is a core and a runner, each in a process. Callers have to log in, and
// whoever does not may call one service. The test is the owner of the core, so it and
// the runner come by the core's socket.
type cluster struct {
	t            *testing.T
	binary, dir  string
	env          []string
	authority    []byte // of the cluster, PEM
	runner, core *process
	now          way // how the core is reached
	url          string
}

// way is how a core is reached.
type way struct {
	tls     bool
	clients string // PEM of the certificates that clients need one of; "" if they need none
}

// startCluster returns when the service of the suite can be called. The cluster ends
// with the test.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	programs := os.Getenv("RUEDO_E2E_BIN")
	if programs == "" {
		t.Fatal("RUEDO_E2E_BIN is not set: run this test with `make conformance`")
	}
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	caches := strings.Fields(string(out))
	if err != nil || len(caches) != 2 {
		t.Fatalf("go env: %v %q", err, out)
	}
	c := &cluster{t: t, binary: filepath.Join(programs, "ruedo"), dir: t.TempDir()}
	c.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(),
		"GOCACHE=" + caches[0], "GOMODCACHE=" + caches[1],
		"RUEDO_RUNNER_COMPILE_TIME=2m", // a busy machine is no failure
	}
	if err := c.serve(way{}); err != nil {
		t.Fatal(err)
	}
	var shown struct{ Authority struct{ Certificate string } }
	if err := json.Unmarshal(c.ruedo("get", "authority", "-o", "json"), &shown); err != nil {
		t.Fatal(err)
	}
	c.authority = []byte(shown.Authority.Certificate)
	c.ruedo("publish", "--no-check", "service")
	c.ruedo("grant", "anonymous", "call service conformance")
	return c
}

// serve starts a core and a runner in place of those before. It returns when the
// runner is attached.
func (c *cluster) serve(as way) error {
	if c.core != nil {
		c.runner.stop()
		c.core.stop()
	}
	args := []string{"server", "--port", "0", "--distributed-execution", "--working-dir", filepath.Join(c.dir, "core")}
	if as.tls {
		args = append(args, "--tls", "on")
	}
	var env []string
	if as.clients != "" {
		file := filepath.Join(c.dir, "clients.pem")
		if err := os.WriteFile(file, []byte(as.clients), 0o600); err != nil {
			return err
		}
		env = []string{"RUEDO_TLS_CLIENT_CERTIFICATES=require", "RUEDO_TLS_CA_CERTIFICATE_FILE=" + file}
	}
	var err error
	if c.core, err = c.start(env, args...); err == nil {
		c.url, err = c.core.await(`msg="core is serving".* url=(\S+)`)
	}
	if err == nil {
		c.runner, err = c.start(nil, "runner", "--cores", c.url, "--cache-dir", filepath.Join(c.dir, "runner"))
	}
	if err == nil {
		_, err = c.core.await(`msg="(runner attached)"`)
	}
	c.now = as
	return err
}

// ruedo runs a command of the core's owner and returns what it prints.
func (c *cluster) ruedo(args ...string) []byte {
	c.t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(c.t.Context(), c.binary, args...)
	cmd.Env, cmd.Stderr = append(c.env, "RUEDO_CLIENT_HOST="+c.url), &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("ruedo %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out
}
