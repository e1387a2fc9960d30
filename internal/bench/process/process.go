// Package process starts the processes that are measured, and reads what they
// use from /proc.
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Group is a number of processes that end with this one, whatever happens.
type Group struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu  sync.Mutex
	all []*Process
}

// NewGroup returns an empty group. Its processes end with ctx, or with Stop.
func NewGroup(ctx context.Context) *Group {
	ctx, cancel := context.WithCancel(ctx)
	return &Group{ctx: ctx, cancel: cancel}
}

// Stop ends all processes and waits for them.
func (g *Group) Stop() {
	g.cancel()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.all {
		<-p.ended
	}
}

// Process is a child.
type Process struct {
	// PID of the process.
	PID int

	cmd   *exec.Cmd
	stop  context.CancelFunc
	lines chan string // the first ones of its output
	ended chan struct{}
	said  tail
}

// keptLines is how many lines of the output can be read later.
const keptLines = 16

// Start starts a program with the environment of this process, without its
// settings of Ruedo, and with env.
func (g *Group) Start(name string, env []string, args ...string) (*Process, error) {
	ctx, cancel := context.WithCancel(g.ctx)
	p := &Process{cmd: exec.CommandContext(ctx, name, args...), stop: cancel, lines: make(chan string, keptLines), ended: make(chan struct{})}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "RUEDO_") {
			p.cmd.Env = append(p.cmd.Env, e)
		}
	}
	p.cmd.Env = append(append(p.cmd.Env, "RUEDO_AUTH_MODE=off"), env...) // those that measure logins say otherwise
	p.cmd.Stderr = &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	p.PID = p.cmd.Process.Pid
	g.mu.Lock()
	g.all = append(g.all, p)
	g.mu.Unlock()
	go func() {
		defer close(p.ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case p.lines <- s.Text():
			default: // nobody reads that many
			}
		}
		_ = p.cmd.Wait() // it ends by the signal that stop sends
	}()
	return p, nil
}

// Self starts this program in another role.
func (g *Group) Self(role, next string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return g.Start(self, nil, "-role", role, "-next", next)
}

// Serve starts this program in a role that serves, and returns its address.
func (g *Group) Serve(role, next string) (url string, p *Process, err error) {
	if p, err = g.Self(role, next); err != nil {
		return "", nil, err
	}
	url, err = p.Line()
	return url, p, err
}

// Line returns the next line of the output. It fails if the process ends, or
// says nothing within a minute.
func (p *Process) Line() (string, error) {
	select {
	case line := <-p.lines:
		return line, nil
	case <-p.ended:
	case <-time.After(time.Minute):
	}
	return "", p.Failure(errors.New("it does not answer"))
}

// Stop ends the process and waits for it.
func (p *Process) Stop() {
	p.stop()
	<-p.ended
}

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Failure returns an error with what the process has said last.
func (p *Process) Failure(err error) error {
	return fmt.Errorf("%s: %w\n%s", filepath.Base(p.cmd.Path), err, p.said.String())
}

// cpuClock is what the number of a process's clock ends with: that of the time that
// the scheduler has given to it. Its other bits are those of the process id, inverted.
const cpuClock = 2

// CPU returns the processor time that the process has used so far, user and system.
func (p *Process) CPU() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(int32(^p.PID<<3|cpuClock), &t)
	return time.Duration(t.Nano()), err
}

// Memory is what a process has in memory, in bytes.
type Memory struct {
	Resident, Peak int64
	// Private is what no file backs: without code and mapped data.
	Private int64
}

// Threads returns how many threads of the system the process has.
func (p *Process) Threads() (int, error) {
	of, err := os.ReadDir(p.proc("task"))
	return len(of), err
}

// Memory returns what the process has in memory.
func (p *Process) Memory() (m Memory, err error) {
	b, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*int64{"VmRSS": &m.Resident, "VmHWM": &m.Peak, "RssAnon": &m.Private}[name]
		if to == nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return m, err
		}
		*to = n << 10
	}
	return m, nil
}

// IO returns how many bytes the process has read and written so far, over
// connections and in files.
func (p *Process) IO() (int64, error) {
	b, err := os.ReadFile(p.proc("io"))
	if err != nil {
		return 0, err
	}
	var sum int64
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "rchar" && name != "wchar" {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (p *Process) proc(file string) string { return fmt.Sprintf("/proc/%d/%s", p.PID, file) }

// CPU returns what several processes have used together.
func CPU(ps []*Process) (sum time.Duration, err error) {
	for _, p := range ps {
		d, err := p.CPU()
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// FreePort returns a port of the loopback address that nobody listens on.
func FreePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
