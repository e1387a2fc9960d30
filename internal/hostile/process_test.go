//go:build hostile

package hostile

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// process is a child and its output. It is killed when the test ends, and when
// the test process dies.
type process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{}
	out    testkit.Log
}

// output returns what the child wrote so far, from byte n on.
func (p *process) output(n int) string {
	out := p.out.String()
	return out[min(n, len(out)):]
}

func start(t *testing.T, name string, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir = env, t.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its state says how it ended
		close(p.exited)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.exited
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return p.cmd.Process.Signal(syscall.Signal(0)) == nil // it may have ended before its output was read
	}
}

// environment is the environment of children, without the settings of the user
// who runs the tests.
func environment(home string, more ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + os.TempDir(), "NO_COLOR=1", "RUEDO_AUTH_MODE=off"}
	return append(env, more...)
}

// state is what the system reports about a process.
type state struct {
	rss, peak int // bytes; peak since resetPeak
	threads   int
	files     int
	children  []int
}

func (p *process) state(t *testing.T) state {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(p.pid()))
	var s state
	b, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, tail(p.output(0), 1000))
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch key {
		case "VmRSS":
			s.rss = n << 10
		case "VmHWM":
			s.peak = n << 10
		case "Threads":
			s.threads = n
		}
	}
	if files, err := os.ReadDir(filepath.Join(dir, "fd")); err == nil {
		s.files = len(files)
	}
	tasks, _ := filepath.Glob(filepath.Join(dir, "task", "*", "children"))
	for _, f := range tasks {
		b, _ := os.ReadFile(f) // a thread can have ended
		for _, pid := range strings.Fields(string(b)) {
			n, _ := strconv.Atoi(pid)
			s.children = append(s.children, n)
		}
	}
	return s
}

// cpu returns the CPU time that the process has used, in steps of 10 ms; 0 if
// the process has ended.
func (p *process) cpu() time.Duration {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid()), "stat"))
	if err != nil {
		return 0
	}
	// The name, in parentheses, can contain spaces. utime and stime are the 12th
	// and 13th field after it, in ticks.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// resetPeak resets the peak to the present memory.
func (p *process) resetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(p.pid()), "clear_refs"), []byte("5"), 0); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// mercy is the memory at which guard kills a process, in bytes: far above every
// bound that is asserted, and far below the memory of the machine.
const mercy = 1536 << 20

// guard kills the process before it exhausts the machine's memory, and notes
// that in its output.
func (p *process) guard() {
	look := time.NewTicker(20 * time.Millisecond)
	go func() {
		defer look.Stop()
		for {
			select {
			case <-p.exited:
				return
			case <-look.C:
			}
			b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid()), "statm"))
			if f := strings.Fields(string(b)); err == nil && len(f) > 1 {
				if pages, _ := strconv.Atoi(f[1]); pages*os.Getpagesize() > mercy {
					_, _ = fmt.Fprintf(&p.out, "killed by the tests: it had %s of memory\n", mib(pages*os.Getpagesize()))
					_ = p.cmd.Process.Kill()
				}
			}
		}
	}()
}

// goroutines ends a Go process by SIGQUIT and returns its last output, split by
// goroutine.
func (p *process) goroutines(t *testing.T) []string {
	t.Helper()
	n := len(p.output(0))
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s does not end at SIGQUIT", p.name)
	}
	var list []string
	for block := range strings.SplitSeq(p.output(n), "\n\n") {
		if strings.HasPrefix(strings.TrimLeft(block, "\n"), "goroutine ") && !strings.Contains(block, "goroutine 0 ") {
			list = append(list, block)
		}
	}
	return list
}

func mib(n int) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
