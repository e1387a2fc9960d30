package dispatch

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ruedo-dev/ruedo/internal/ruedotest"
)

// subject is a server that answers calls, and its processes.
type subject struct {
	name, url, path string
	body            string
	// want is part of a correct answer.
	want string
	pids []int
	// before is the same subject of another checkout, if there is one to compare
	// with.
	before *subject
}

// ticks is USER_HZ: the unit of CPU time in /proc, on every architecture that
// Go supports.
const ticks = 100

// cpuTime returns what the subject's processes have used so far, user and
// system.
func (s *subject) cpuTime() (time.Duration, error) {
	var sum int64
	for _, pid := range s.pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The command can contain spaces; fields are counted after its ")".
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		for _, i := range []int{11, 12} {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return time.Duration(sum) * time.Second / ticks, nil
}

const payload = `{"name":"Ada"}`

// processes are children that end with this process, whatever happens.
type processes struct {
	ctx  context.Context
	cmds []*exec.Cmd
}

func (p *processes) start(name string, env []string, args ...string) (*exec.Cmd, io.Reader, error) {
	cmd := exec.CommandContext(p.ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	p.cmds = append(p.cmds, cmd)
	return cmd, out, nil
}

func (p *processes) baseline(role, next string) (url string, pid int, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", 0, err
	}
	cmd, out, err := p.start(self, nil, "-role", role, "-next", next)
	if err != nil {
		return "", 0, err
	}
	url, err = bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(url), cmd.Process.Pid, err
}

// startSubjects starts every process; stop ends them all. The directory of another
// checkout adds the subjects of its binary.
func startSubjects(ctx context.Context, against string) (subjects []*subject, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &processes{ctx: ctx}
	dir, err := os.MkdirTemp("", "ruedo-bench-")
	if err != nil {
		cancel()
		return nil, nil, err
	}
	stop = func() {
		cancel()
		for _, cmd := range p.cmds {
			_ = cmd.Wait() // they end by the signal that cancel sent
		}
		_ = os.RemoveAll(dir)
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	echo, echoPID, err := p.baseline("http-echo", "")
	if err != nil {
		return nil, nil, err
	}
	far, farPID, err := p.baseline("connect-echo", "")
	if err != nil {
		return nil, nil, err
	}
	near, nearPID, err := p.baseline("connect-proxy", far)
	if err != nil {
		return nil, nil, err
	}
	subjects = []*subject{
		{name: "A1", url: echo, path: "/call/echo", body: payload, want: payload, pids: []int{echoPID}},
		{name: "C1", url: near, path: invokePath, body: invokeBody(), want: "bytes", pids: []int{nearPID, farPID}},
	}
	here, err := filepath.Abs("../..")
	if err != nil {
		return nil, nil, err
	}
	ours, err := startRuedo(ctx, p, here, filepath.Join(dir, "here"))
	if err != nil {
		return nil, nil, err
	}
	if against != "" {
		theirs, err := startRuedo(ctx, p, against, filepath.Join(dir, "there"))
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
func startRuedo(ctx context.Context, p *processes, root, dir string) ([]*subject, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "ruedo")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build ruedo: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	url := "http://127.0.0.1:" + port
	env := []string{
		"RUEDO_LOG_LEVEL=error", "RUEDO_SERVER_PORT=" + port, "RUEDO_SERVER_DISTRIBUTED_EXECUTION=true",
		"RUEDO_STORE_DATA_DIR=" + filepath.Join(dir, "data"), "RUEDO_RUNNER_CACHE_DIR=" + filepath.Join(dir, "cache"),
		"RUEDO_RUNNER_CORES=" + url, "RUEDO_CLIENT_HOST=" + url, "RUEDO_APPLICATION_MODE=client",
	}
	var pids []int
	for _, role := range []string{"server", "runner"} {
		cmd, out, err := p.start(bin, env, role)
		if err != nil {
			return nil, err
		}
		go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
		pids = append(pids, cmd.Process.Pid)
	}
	wasm := filepath.Join(dir, "echo.wasm")
	if err := os.WriteFile(wasm, ruedotest.Echo(), 0o600); err != nil {
		return nil, err
	}
	ruedo := func(args ...string) error {
		cmd := exec.CommandContext(ctx, bin, args...)
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ruedo %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	// The runner attaches on its own.
	for deadline := time.Now().Add(20 * time.Second); ; {
		if err = ruedo("publish", "--name", "echo", wasm); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := ruedo("publish", filepath.Join(root, "examples", "greet")); err != nil {
		return nil, err
	}
	return []*subject{
		{name: "echo", url: url, path: "/call/echo", body: payload, want: payload, pids: pids},
		{name: "echo-connect", url: url, path: invokePath, body: invokeBody(), want: "bytes", pids: pids},
		{name: "greet", url: url, path: "/call/greet", body: payload, want: "Ada", pids: pids},
	}, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}
