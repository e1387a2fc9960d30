//go:build linux || darwin

package compile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

// bomb keeps the compiler busy for longer than any test.
var bomb = loops(2000, 2000)

// children are the ids of the processes that a process started.
func children(t testing.TB, pid int) (ids []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(files) == 0 {
		t.Skip("this system does not tell a process's children")
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread ended
		}
		for _, id := range strings.Fields(string(text)) {
			n, err := strconv.Atoi(id)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, n)
		}
	}
	return ids
}

func fds(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	return len(entries)
}

func TestInvalidModule(t *testing.T) {
	c := open(t, nil)
	for name, wasm := range map[string][]byte{
		"empty":      {},
		"no module":  []byte("<html>\x1b[31mno</html>"),
		"truncated":  returns(1)[:20],
		"wrong type": function(append(noLocals, 0x42, 0)), // i64.const 0
	} {
		t.Run(name, func(t *testing.T) {
			e := fails(t, c, wasm, fault.CompileFailed)
			if len(e.Message) > 500 || strings.ContainsAny(e.Message, "\n\x1b") || e.Fix == "" {
				t.Errorf("got %q, fix %q", e.Message, e.Fix)
			}
			t.Log(e.Message)
		})
	}
	if got := c.Stats(); got.Failed != 4 || got.Compiled != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestWallClockAndCPUTimeAreSaid(t *testing.T) {
	c := open(t, func(cfg *compile.Config) { cfg.Timeout = 1700 * time.Millisecond })
	if e := fails(t, c, bomb, fault.CompileTimeout); !strings.Contains(e.Message, "1.7s") {
		t.Errorf("got %q", e.Message)
	}
	c = open(t, func(cfg *compile.Config) { cfg.CPU = time.Second })
	if e := fails(t, c, bomb, fault.CompileTimeout); !strings.Contains(e.Message, "1s of CPU time") {
		t.Errorf("got %q", e.Message)
	}
	c = open(t, func(cfg *compile.Config) { cfg.Memory = 64 << 20 })
	if e := fails(t, c, bomb, fault.CompileMemory); !strings.Contains(e.Message, "64 MiB") {
		t.Errorf("got %q", e.Message)
	}
}

func TestAKilledCompileLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	c := open(t, func(cfg *compile.Config) {
		cfg.Dir, cfg.Private, cfg.Timeout = filepath.Join(dir, "modules"), filepath.Join(dir, "private"), slow*time.Second
	})
	run(t, c, returns(1)) // opens whatever is opened only once
	fdsBefore, filesBefore := fds(t), files(t, dir)
	for n := range 3 {
		fails(t, c, loops(2000, 2000+n), fault.CompileTimeout)
	}
	fails(t, c, bomb, fault.CompileTimeout) // the first of them
	if n := c.Stats().Failed; n != 3 {
		t.Errorf("%d compiles were killed for three bombs, one of them sent again", n)
	}
	testkit.Eventually(t, "no child is left", func() bool { return len(children(t, os.Getpid())) == 0 })
	testkit.Eventually(t, "no descriptor is left", func() bool { return fds(t) <= fdsBefore })
	testkit.Eventually(t, "no file is left", func() bool { return slices.Equal(files(t, dir), filesBefore) })
}

func TestTheLastOneToGiveUpKillsTheChild(t *testing.T) {
	c := open(t, func(cfg *compile.Config) { cfg.Timeout, cfg.CPU = time.Minute, time.Minute })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := c.Prepare(ctx, bomb, compile.Usual)
	if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != fault.Canceled || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	testkit.Eventually(t, "no child is left", func() bool { return len(children(t, os.Getpid())) == 0 })
	if got := c.Stats(); got.Failed != 0 || got.Compiled != 0 {
		t.Errorf("it ended by itself: %+v", got)
	}
	if _, err := c.Prepare(ctx, bomb, compile.Usual); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestNobodyWaitsForTheEndOfAChildThatIsDone(t *testing.T) {
	c := open(t, func(cfg *compile.Config) { cfg.Command = self(t, "lingering-child") })
	if got, report := run(t, c, returns(1)); got != 1 || report.Hit {
		t.Errorf("got %d, %+v", got, report)
	}
	testkit.Eventually(t, "no child is left", func() bool { return len(children(t, os.Getpid())) == 0 })
}

func TestTheChildSeesNothingOfItsParent(t *testing.T) {
	t.Setenv("RUEDO_TEST_SECRET", "hush")
	file, err := os.Create(filepath.Join(t.TempDir(), "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// As if the process that started this one had left it open.
	if fd, err := syscall.Dup(int(file.Fd())); err != nil {
		t.Fatal(err)
	} else {
		defer syscall.Close(fd)
	}
	out := filepath.Join(t.TempDir(), "seen")
	c := open(t, func(cfg *compile.Config) { cfg.Command, cfg.Env = self(t, "telling-child", out), nil })
	run(t, c, returns(1))
	seen, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(seen)) {
		f := strings.Fields(line)
		switch {
		case f[0] == "env" && f[1] != "0":
			t.Errorf("the child has %s variables", f[1])
		case f[0] == "fd" && len(f) == 3:
			n, _ := strconv.Atoi(f[1])
			own := strings.HasPrefix(f[2], "anon_inode:") || strings.HasPrefix(f[2], "/proc/") || strings.HasPrefix(f[2], "/sys/fs/cgroup/") // of Go's runtime
			if n <= 2 && !strings.HasPrefix(f[2], "pipe:") || n > 2 && !own {
				t.Errorf("the child has %s", line)
			}
		}
	}
}

func TestTheChildHasItsLimits(t *testing.T) {
	c := open(t, func(cfg *compile.Config) { cfg.Timeout, cfg.CPU, cfg.Memory = 5*time.Second, 3*time.Second, 300<<20 })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := c.Prepare(ctx, bomb, compile.Usual)
		ended <- err
	}()
	var oom, stat string
	testkit.Eventually(t, "the child has all limits, which it sets one by one", func() bool {
		ids := children(t, os.Getpid())
		if len(ids) == 0 {
			return false
		}
		read := func(name string) string {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", ids[0], name))
			return string(b)
		}
		limits := read("limits")
		oom, stat = read("oom_score_adj"), read("stat")
		for _, name := range []string{"Max data size", "Max address space", "Max core file size", "Max file size", "Max open files"} {
			_, rest, found := strings.Cut(limits, name)
			if line, _, _ := strings.Cut(rest, "\n"); !found || strings.Contains(line, "unlimited") {
				return false
			}
		}
		return strings.Contains(limits, "Max cpu time              3 ")
	})
	cancel()
	<-ended
	if strings.TrimSpace(oom) != "1000" {
		t.Errorf("oom_score_adj is %q", oom)
	}
	if f := strings.Fields(stat[strings.LastIndex(stat, ")")+1:]); len(f) < 17 || f[16] != "5" {
		t.Errorf("the niceness is not 5: %s", stat)
	}
}

func TestACommandThatIsNoCompiler(t *testing.T) {
	for name, tt := range map[string]struct {
		command     []string
		want, cause string
	}{
		"other settings":  {self(t, "other-child"), "another version", "the process is"},
		"says nothing":    {self(t, "confused-child"), "ended before it began", "exit status 2: unknown command"},
		"does not exist":  {[]string{"/does/not/exist"}, "cannot be started", "/does/not/exist"},
		"does not answer": {[]string{"/bin/sleep", "60"}, "did not start within 500ms", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, func(cfg *compile.Config) {
				cfg.Command = tt.command
				if name == "does not answer" {
					cfg.Timeout = 500 * time.Millisecond // nothing happens in it
				}
			})
			e := fails(t, c, returns(1), fault.Internal)
			if !strings.Contains(e.Message, tt.want) || strings.Contains(e.Message, "\x1b") {
				t.Errorf("got %q, want %q in it", e.Message, tt.want)
			}
			if tt.cause != "" && (!strings.Contains(fmt.Sprint(e.Err), tt.cause) || strings.Contains(e.Message, tt.cause)) {
				t.Errorf("%q must stand in the cause alone: %q, %v", tt.cause, e.Message, e.Err)
			}
		})
	}
}
