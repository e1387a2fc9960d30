package compile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sandbox/compile/budget"
	"github.com/ruedo-dev/ruedo/sandbox/compile/cache"
	"github.com/ruedo-dev/ruedo/sandbox/compile/confine"
)

// Self returns a command that starts this program again: the very file that
// runs, even if it was replaced on disk meanwhile, if the system can tell.
func Self(args ...string) ([]string, error) {
	path := "/proc/self/exe" // of the child, which until then is this program
	if _, err := os.Stat(path); err != nil {
		if path, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	return append([]string{path}, args...), nil
}

// errWall is the cause of a context that ended at the child's wall-clock limit.
var errWall = errors.New("wall clock")

const maxStderr = 16 << 10

// process is a child.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *replies
	stderr *capped
	ended  chan struct{}
	err    error // of waiting; set before ended is closed
}

// start starts a child in a directory. It waits for its order.
func (c *Compiler) start(dir string) (*process, error) {
	cmd := exec.Command(c.cfg.Command[0], c.cfg.Command[1:]...)
	cmd.Env = append([]string{}, c.cfg.Env...) // not nil, which would inherit
	cmd.Dir = dir
	cmd.SysProcAttr = confine.Attr()
	cmd.WaitDelay = time.Second
	p := &process{cmd: cmd, stdout: newReplies(), stderr: &capped{max: maxStderr}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	started := make(chan error)
	c.wg.Go(func() {
		// A parent death signal comes when the thread that started the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		confine.HideDescriptors()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.ended)
		}
	})
	return p, <-started
}

// kill ends a child, unless it has ended, and waits for its end.
func (p *process) kill() {
	select {
	case <-p.ended:
	default:
		_ = confine.Kill(p.cmd.Process)
		<-p.ended
	}
}

// spawn makes a child compile a module into dir.
func (c *Compiler) spawn(ctx context.Context, dir string, j job) (answer, *fault.Error) {
	if spare := c.takeSpare(); spare != nil {
		if a, e, lost := c.ask(ctx, spare, dir, j); !lost {
			return a, e
		}
	}
	p, err := c.start(dir)
	if err != nil {
		if pe, ok := errors.AsType[*fs.PathError](err); ok && pe.Op == "chdir" {
			return answer{}, noDisk(err)
		}
		return answer{}, internal(err, "the compiler process cannot be started")
	}
	a, e, _ := c.ask(ctx, p, dir, j)
	return a, e
}

// ask gives a child the order to compile a module into dir, and waits until it has.
// It also reports whether the child was lost: ended by somebody else, or because
// it had waited too long, before it began.
func (c *Compiler) ask(ctx context.Context, p *process, dir string, j job) (answer, *fault.Error, bool) {
	limits := budget.Limits{CPU: c.cfg.CPU, Timeout: c.cfg.Timeout, Memory: c.cfg.Memory}.For(j.wasm, j.budget)
	wall, cancel := context.WithTimeoutCause(ctx, limits.Timeout, errWall)
	c.wg.Go(func() {
		defer cancel()
		select {
		case <-p.ended:
		case <-wall.Done():
			p.kill()
		}
	})
	c.wg.Go(func() {
		// Fails if the child ends early; how it ended says more. The pipe stays open:
		// Wait closes it.
		_ = order{
			Identity: c.identity, Dir: dir, Size: int64(len(j.wasm)), Workers: c.cfg.Workers,
			Timeout: limits.Timeout, CPU: limits.CPU, Memory: limits.Memory, MaxCode: cache.MaxCode, Nice: c.cfg.Nice,
		}.write(p.stdin, j.wasm)
	})
	select {
	case a := <-p.stdout.done:
		// Its memory takes a while to be released, for which nobody waits. When ctx
		// ends, it is killed.
		return a, nil, false
	case <-p.ended:
	}
	ready, last := readAnswers(p.stdout.buf)
	if p.err == nil && ready && last != nil && last.Verdict == verdictDone {
		return *last, nil, false
	}
	if ctx.Err() != nil {
		return answer{}, canceled(ctx), false
	}
	late := context.Cause(wall) == errWall
	return answer{}, c.explain(ending{
		limits: limits,
		wall:   late, ready: ready, last: last,
		stderr: p.stderr.String(), state: p.cmd.ProcessState, err: p.err,
	}), !ready && !late
}

// ending is what is known about a child that failed.
type ending struct {
	limits budget.Limits
	wall   bool // killed at the wall-clock limit
	ready  bool // had its limits, and the module
	last   *answer
	stderr string
	state  *os.ProcessState
	err    error // of waiting
}

// explain returns why a child failed. What happened before it was ready is
// never the module's fault.
func (c *Compiler) explain(e ending) *fault.Error {
	v := verdict("")
	if e.last != nil {
		v = e.last.Verdict
	}
	switch {
	case v == verdictStranger:
		return internal(fmt.Errorf("this one is %q, the process is %q", c.identity, e.last.Text),
			"the compiler process is another version of this program than the one that runs; restart it")
	case v == verdictDisk && e.last.Full:
		return noDisk(fmt.Errorf("%w: %s", syscall.ENOSPC, e.last.Text))
	case v == verdictDisk:
		return noDisk(errors.New(e.last.Text))
	case v == verdictFault:
		return internal(errors.New(e.last.Text), "the compiler process failed")
	case !e.ready && e.wall:
		return internal(e.err, "the compiler process did not start within %s; the machine may be overloaded", e.limits.Timeout)
	case !e.ready:
		return internal(fmt.Errorf("%s: %s", e.state, clean(e.stderr)), "the compiler process ended before it began")
	case v == verdictWall || e.wall:
		return fault.New(fault.CompileTimeout, "compiling the module takes longer than %s", e.limits.Timeout).WithFix(fixTime)
	case v == verdictCPU || v == "" && e.killed() && e.used() >= e.limits.CPU:
		return fault.New(fault.CompileTimeout, "compiling the module takes more than %s of CPU time", e.limits.CPU).WithFix(fixTime)
	case v == verdictSlow:
		return fault.New(fault.CompileTimeout, "loading the compiled module takes more than %s of CPU time", e.limits.CPU/loadShare).WithFix(fixTime)
	case v == verdictMemory || v == "" && outOfMemory(e.stderr):
		return fault.New(fault.CompileMemory, "compiling the module takes more than %s of memory", text.Size(e.limits.Memory)).WithFix(fixSmaller)
	case v == verdictHeavy:
		return fault.New(fault.CompileMemory, "loading the compiled module takes more than %s of memory", text.Size(e.limits.Memory/loadShare)).WithFix(fixSmaller)
	case v == verdictTooLarge:
		return fault.New(fault.CompileMemory, "the compiled module has more than %s", text.Size(cache.MaxCode)).WithFix(fixSmaller)
	case v == verdictInvalid:
		return fault.New(fault.CompileFailed, "the module is not valid: %s", e.last.Text).WithFix(fixValid)
	case v == verdictPanic:
		return fault.Wrap(fmt.Errorf("%s", e.last.Text), fault.CompileFailed, "the compiler cannot cope with the module").WithFix(fixValid)
	case v == "" && e.killed():
		// Nobody here killed it: it was the kernel, because the machine had no memory
		// left.
		return fault.New(fault.CompileMemory, "the system killed the compiler, which may use %s: most likely the machine ran out of memory", text.Size(e.limits.Memory)).WithFix(fixSmaller)
	}
	return fault.Wrap(fmt.Errorf("%s: %s", e.state, clean(e.stderr)), fault.CompileFailed, "the compiler cannot cope with the module").WithFix(fixValid)
}

func (e ending) killed() bool {
	if e.state == nil {
		return false
	}
	s, ok := e.state.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL
}

func (e ending) used() time.Duration { return e.state.UserTime() + e.state.SystemTime() }

// product is code that was just compiled.
type product struct {
	path    string // of the file
	name    string // of it in a cache; empty if there is no file to share
	compile time.Duration
	memory  int64
	stored  <-chan struct{} // as in entry
}

// produce compiles a module into dir, which it creates.
func (c *Compiler) produce(ctx context.Context, dir string, j job) (product, *fault.Error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return product{}, noDisk(err)
	}
	var p product
	if len(c.cfg.Command) > 0 && confine.Supported {
		a, err := c.spawn(ctx, dir, j)
		if err != nil {
			return product{}, err
		}
		p.compile, p.memory = a.Compile, a.Memory
	} else {
		var err error
		// One worker: a panic of others could not be caught.
		if p.compile, err = translate(context.WithoutCancel(ctx), c.cfg.Runtime, dir, j.wasm); err != nil {
			return product{}, c.explain(ending{ready: true, last: new(refusal(err))})
		}
	}
	name, err := cache.CodeFile(dir)
	if err != nil {
		return product{}, internal(err, "the compiled module cannot be read")
	}
	p.name, p.path = name, filepath.Join(dir, filepath.FromSlash(name))
	return p, nil
}
