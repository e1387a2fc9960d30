//go:build linux || darwin

package compile_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

func TestCloseKillsTheChild(t *testing.T) {
	dir := t.TempDir()
	c := open(t, func(cfg *compile.Config) { cfg.Dir = filepath.Join(dir, "modules") })
	failed := make(chan error)
	go func() {
		_, err := c.Prepare(context.Background(), bomb, compile.Usual)
		failed <- err
	}()
	testkit.Eventually(t, "the child runs", func() bool { return len(children(t, os.Getpid())) == 1 })
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, compile.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if left := children(t, os.Getpid()); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := c.Prepare(t.Context(), bomb, compile.Usual); !errors.Is(err, compile.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "modules.private", "work-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// doomedParent compiles a bomb until it is killed.
func doomedParent(dir, private string, command []string) {
	c, err := compile.New(compile.Config{Runtime: config, Command: command, Dir: dir, Private: private, Timeout: time.Minute, CPU: time.Minute})
	if err != nil {
		panic(err)
	}
	_, err = c.Prepare(context.Background(), bomb, compile.Usual)
	fmt.Println(err)
}

// Each of two ways suffices: the kernel's signal, and the end of stdin.
func TestTheChildEndsWithItsParent(t *testing.T) {
	for name, command := range map[string][]string{
		"by stdin or signal": self(t, "child"),
		"by signal alone":    {"/bin/sleep", "60"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "by signal alone" && runtime.GOOS != "linux" {
				t.Skip("there is no such signal here")
			}
			endsWithItsParent(t, command)
		})
	}
	t.Run("by stdin alone", func(t *testing.T) {
		command := self(t, "child")
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir, cmd.SysProcAttr = t.TempDir(), &syscall.SysProcAttr{Setpgid: true}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		if err := compile.Order(stdin, t.TempDir(), config, bomb); err != nil {
			t.Fatal(err)
		}
		ready, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil || !strings.Contains(ready, "ready") {
			t.Fatalf("got %q, %v", ready, err)
		}
		began := time.Now()
		stdin.Close()
		if err := cmd.Wait(); err == nil || time.Since(began) > 10*time.Second {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
	})
}

func endsWithItsParent(t *testing.T, child []string) {
	dir := t.TempDir()
	private := filepath.Join(dir, "private")
	command := self(t, append([]string{"parent", filepath.Join(dir, "modules"), private}, child...)...)
	parent := exec.Command(command[0], command[1:]...)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Process.Kill()
	var id int
	testkit.Eventually(t, "the child runs", func() bool {
		if ids := children(t, parent.Process.Pid); len(ids) == 1 {
			id = ids[0]
		}
		return id != 0
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	testkit.Eventually(t, "the child is gone", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
		return err != nil || strings.Contains(string(text), ") Z ")
	})

	// What the parent left behind is removed by the next one.
	left, err := filepath.Glob(filepath.Join(private, "work-*"))
	if err != nil || len(left) != 1 {
		t.Fatalf("the killed parent left %v, %v; want one directory", left, err)
	}
	open(t, func(cfg *compile.Config) { cfg.Private = private })
	now, err := filepath.Glob(filepath.Join(private, "work-*"))
	if err != nil || len(now) != 1 || now[0] == left[0] {
		t.Errorf("there is %v, %v; want only the directory of the new one", now, err)
	}
}

// A caller that gives up must not take the result from the others, and a bomb
// that nobody waits for is killed immediately.
func TestGivingUpConcernsOnlyOneself(t *testing.T) {
	wasm, err := goGuest()
	if err != nil {
		t.Fatal(err)
	}
	child := plain(t)
	c := open(t, func(cfg *compile.Config) { cfg.Command = child })
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := c.Prepare(ctx, wasm, compile.Usual)
		first <- err
	}()
	testkit.Eventually(t, "the child runs", func() bool { return len(children(t, os.Getpid())) == 1 })
	go func() {
		p, err := c.Prepare(t.Context(), wasm, compile.Usual)
		if err == nil {
			p.Release()
		}
		second <- err
	}()
	cancel()
	var e *fault.Error
	if err := <-first; !errors.As(err, &e) || e.Reason != fault.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the second: %v", err)
	}
}

// A child that was started ahead compiles the next module, and then it is gone.
func TestAChildThatIsReadyTakesTheNextModule(t *testing.T) {
	c := open(t, nil)
	for n, spoil := range []func(child int){
		func(int) {},
		func(child int) { // it can be killed while it waits
			_ = syscall.Kill(child, syscall.SIGKILL)
			testkit.Eventually(t, "the child is gone", func() bool { return len(children(t, os.Getpid())) == 0 })
		},
		func(child int) { _ = syscall.Kill(child, syscall.SIGKILL) }, // or when its order comes
		func(int) {},
	} {
		c.Ready()
		c.Ready() // one is enough
		waiting := children(t, os.Getpid())
		if len(waiting) != 1 {
			t.Fatalf("%d: %v wait", n, waiting)
		}
		spoil(waiting[0])
		if got, report := run(t, c, returns(int32(n))); got != uint64(n) || report.Hit {
			t.Errorf("got %d, want %d; %+v", got, n, report)
		}
		testkit.Eventually(t, "no child is left", func() bool { return len(children(t, os.Getpid())) == 0 })
	}
	c.Ready()
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if left := children(t, os.Getpid()); len(left) > 0 {
		t.Errorf("%v are left when the compiler is closed", left)
	}
	c.Ready()
	if more := children(t, os.Getpid()); len(more) > 0 {
		t.Errorf("%v wait for a compiler that is closed", more)
	}
}

// A hostile module in one slot must not stop others.
func TestABombDoesNotHoldUpOthers(t *testing.T) {
	c := open(t, func(cfg *compile.Config) { cfg.MaxParallel, cfg.Memory = 2, 8<<30 })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := c.Prepare(ctx, bomb, compile.Usual)
		ended <- err
	}()
	testkit.Eventually(t, "the bomb's child runs", func() bool { return len(children(t, os.Getpid())) == 1 })
	if got, report := run(t, c, returns(9)); got != 9 || report.Took > 10*time.Second {
		t.Errorf("got %d, %+v", got, report)
	}
	select {
	case err := <-ended:
		t.Errorf("the bomb ended before: %v", err)
	default:
	}
	cancel()
	<-ended
}

// The kernel kills without notice, and the child first.
func TestTheKernelKillsTheChild(t *testing.T) {
	c := open(t, func(cfg *compile.Config) { cfg.Timeout = time.Minute })
	ended := make(chan error)
	go func() {
		_, err := c.Prepare(context.Background(), bomb, compile.Usual)
		ended <- err
	}()
	testkit.Eventually(t, "the child compiles", func() bool {
		ids := children(t, os.Getpid())
		if len(ids) == 0 {
			return false
		}
		limits, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", ids[0]))
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", ids[0]))
		f := strings.Fields(string(stat))
		if len(f) < 14 || !strings.Contains(string(limits), "Max cpu time              60 ") {
			return false
		}
		ticks, _ := strconv.Atoi(f[13])
		return ticks > 30 && syscall.Kill(ids[0], syscall.SIGKILL) == nil
	})
	err := <-ended
	if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != fault.CompileMemory || !strings.Contains(e.Message, "the system killed") {
		t.Errorf("got %v", err)
	}
}

// The remaining case, in which the child cannot say what happened: it got
// ready, and died.
func TestLastWordsAreUnderstood(t *testing.T) {
	for mode, want := range map[string]struct {
		reason      fault.Reason
		text, cause string
	}{
		"greedy-child":    {fault.CompileMemory, "more than 256 MiB", ""},
		"recursive-child": {fault.CompileMemory, "more than 256 MiB", ""},
		"panicking-child": {fault.CompileFailed, "cannot cope", "out of cheese"},
		"silent-child":    {fault.CompileFailed, "cannot cope", "exit status 3"},
	} {
		t.Run(mode, func(t *testing.T) {
			c := open(t, func(cfg *compile.Config) { cfg.Command, cfg.Memory = self(t, mode), 256<<20 })
			e := fails(t, c, returns(1), want.reason)
			if !strings.Contains(e.Message, want.text) || len(e.Message) > 600 || want.cause != "" && strings.Contains(e.Message, want.cause) {
				t.Errorf("got %q", e.Message)
			}
			if want.cause != "" && !strings.Contains(fmt.Sprint(e.Err), want.cause) {
				t.Errorf("the cause is %v", e.Err)
			}
		})
	}
}
