package dispatch

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/load"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// subject is a server that answers calls.
type subject struct {
	load.Target
	// before is the same subject of another checkout, if there is one to compare
	// with.
	before *subject
}

func newSubject(name, url, path, body, want string, processes ...*process.Process) *subject {
	return &subject{Target: load.Target{Name: name, URL: url, Requests: [][]byte{load.Post(path, body)}, Want: want, Processes: processes}}
}

const payload = `{"name":"Ada"}`

// baseline starts this program in a role that serves, and returns its address.
func baseline(g *process.Group, role, next string) (url string, p *process.Process, err error) {
	if p, err = g.Self(role, next); err != nil {
		return "", nil, err
	}
	url, err = p.Line()
	return url, p, err
}

// startSubjects starts every process; stop ends them all. The directory of another
// checkout adds the subjects of its binary.
func startSubjects(ctx context.Context, against string) (subjects []*subject, stop func(), err error) {
	dir, err := os.MkdirTemp("", "ruedo-bench-")
	if err != nil {
		return nil, nil, err
	}
	g := process.NewGroup(ctx)
	stop = func() {
		g.Stop()
		_ = os.RemoveAll(dir)
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	echo, echoProcess, err := baseline(g, "http-echo", "")
	if err != nil {
		return nil, nil, err
	}
	far, farProcess, err := baseline(g, "connect-echo", "")
	if err != nil {
		return nil, nil, err
	}
	near, nearProcess, err := baseline(g, "connect-proxy", far)
	if err != nil {
		return nil, nil, err
	}
	subjects = []*subject{
		newSubject("A1", echo, "/call/echo", payload, payload, echoProcess),
		newSubject("C1", near, invokePath, invokeBody(), "bytes", nearProcess, farProcess),
	}
	here, err := filepath.Abs("../..")
	if err != nil {
		return nil, nil, err
	}
	ours, err := startRuedo(ctx, g, here, filepath.Join(dir, "here"))
	if err != nil {
		return nil, nil, err
	}
	if against != "" {
		theirs, err := startRuedo(ctx, g, against, filepath.Join(dir, "there"))
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", against, err)
		}
		for i, s := range ours {
			s.before = theirs[i]
		}
	}
	return append(subjects, ours...), stop, nil
}

const invokePath = "/ruedo.v1.InvokeService/Invoke"

func invokeBody() string {
	return fmt.Sprintf(`{"service":"echo","bytes":%q}`, base64.StdEncoding.EncodeToString([]byte(payload)))
}

// startRuedo builds the checkout at root, starts its server and a runner, and
// publishes. It keeps its files in dir.
func startRuedo(ctx context.Context, g *process.Group, root, dir string) ([]*subject, error) {
	r, err := startCluster(ctx, g, root, dir)
	if err != nil {
		return nil, err
	}
	if err := r.publish("echo", ruedotest.Echo()); err != nil {
		return nil, err
	}
	if err := r.run("publish", filepath.Join(root, "examples", "greet")); err != nil {
		return nil, err
	}
	return []*subject{
		newSubject("echo", r.url, "/call/echo", payload, payload, r.processes...),
		newSubject("echo-connect", r.url, invokePath, invokeBody(), "bytes", r.processes...),
		newSubject("greet", r.url, "/call/greet", payload, "Ada", r.processes...),
	}, nil
}

// ruedo is a server and a runner, and the CLI to talk to them.
type ruedo struct {
	ctx       context.Context
	bin, dir  string
	env       []string
	url       string
	processes []*process.Process
}

// startCluster builds the checkout at root, and starts its server and a runner. It
// keeps its files in dir.
func startCluster(ctx context.Context, g *process.Group, root, dir string) (*ruedo, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "ruedo")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build ruedo: %w\n%s", err, out)
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	url := "http://127.0.0.1:" + port
	r := &ruedo{ctx: ctx, bin: bin, dir: dir, url: url, env: []string{
		"RUEDO_LOG_LEVEL=error", "RUEDO_SERVER_PORT=" + port, "RUEDO_SERVER_DISTRIBUTED_EXECUTION=true",
		"RUEDO_STORE_DATA_DIR=" + filepath.Join(dir, "data"), "RUEDO_RUNNER_CACHE_DIR=" + filepath.Join(dir, "cache"),
		"RUEDO_RUNNER_CORES=" + url, "RUEDO_CLIENT_HOST=" + url, "RUEDO_APPLICATION_MODE=client",
	}}
	for _, role := range []string{"server", "runner"} {
		p, err := g.Start(bin, r.env, role)
		if err != nil {
			return nil, err
		}
		r.processes = append(r.processes, p)
	}
	return r, nil
}

// run runs a command of the CLI.
func (r *ruedo) run(args ...string) error {
	cmd := exec.CommandContext(r.ctx, r.bin, args...)
	cmd.Env = append(os.Environ(), r.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ruedo %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// publish publishes a module. It waits for the runner, which attaches on its own.
func (r *ruedo) publish(name string, wasm []byte) error {
	file := filepath.Join(r.dir, name+".wasm")
	if err := os.WriteFile(file, wasm, 0o600); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := r.run("publish", "--name", name, file)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}
