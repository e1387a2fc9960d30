package compile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

// The test binary is started again as the child, and as a parent that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "child":
			os.Exit(compile.Child(os.Stdin, os.Stdout, config))
		case "other-child": // one that compiles for other settings
			os.Exit(compile.Child(os.Stdin, os.Stdout, func() wazero.RuntimeConfig { return config().WithDebugInfoEnabled(true) }))
		case "lingering-child":
			compile.Child(os.Stdin, os.Stdout, config)
			time.Sleep(time.Hour)
		case "confused-child":
			fmt.Fprintln(os.Stderr, "unknown command \x1b[31mchild")
			os.Exit(2)
		case "telling-child":
			tell()
			os.Exit(compile.Child(os.Stdin, os.Stdout, config))
		case "greedy-child", "recursive-child", "panicking-child", "silent-child":
			brokenChild(os.Args[1])
		case "bystander":
			beBystander()
			os.Exit(0)
		case "parent":
			doomedParent(os.Args[2], os.Args[3], os.Args[4:])
			os.Exit(0)
		}
	}
	var err error
	if dir, err = os.MkdirTemp("", "ruedo-compile-test-"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// dir is for all tests.
var dir string

// config returns the configuration of all tests.
func config() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().WithDebugInfoEnabled(false).WithCloseOnContextDone(true)
}

// tell writes what the child sees of its environment to the file that its only
// argument names.
func tell() {
	var b strings.Builder
	fmt.Fprintf(&b, "env %d\n", len(os.Environ()))
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		to, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		fmt.Fprintf(&b, "fd %s %s\n", fd.Name(), to)
	}
	_ = os.WriteFile(os.Args[2], []byte(b.String()), 0o600)
}

func self(t testing.TB, args ...string) []string {
	t.Helper()
	command, err := compile.Self(args...)
	if err != nil {
		t.Fatal(err)
	}
	return command
}

// quickEnd keeps the race detector from waiting for a second when a child ends.
const quickEnd = "GORACE=atexit_sleep_ms=0"

// open returns a compiler that is closed with the test. Its limits are wide,
// because the machine can be busy.
func open(t testing.TB, change func(*compile.Config)) *compile.Compiler {
	t.Helper()
	cfg := compile.Config{
		Runtime: config,
		Command: self(t, "child"),
		Env:     []string{quickEnd},
		Dir:     filepath.Join(t.TempDir(), "modules"),
		Timeout: 3 * time.Minute,
		CPU:     time.Minute,
		Memory:  compile.DefaultMemory * slow,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := compile.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Errorf("closing the compiler: %v", err)
		}
	})
	return c
}

// plain returns the command of a child without the race detector, with which
// compiling takes ten times as long.
func plain(t testing.TB) []string {
	t.Helper()
	program, err := plainProgram()
	if err != nil {
		t.Fatal(err)
	}
	return []string{program, "child"}
}

// plainProgram is built once. TestMain removes it.
var plainProgram = sync.OnceValues(func() (string, error) {
	program := filepath.Join(dir, "child")
	if text, err := exec.Command("go", "test", "-c", "-trimpath", "-ldflags=-w", "-o", program, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the child: %w\n%s", err, text)
	}
	return program, nil
})

// run compiles a module and returns the result of its function f.
func run(t testing.TB, c *compile.Compiler, wasm []byte) (uint64, compile.Report) {
	t.Helper()
	ctx := t.Context()
	rt := wazero.NewRuntimeWithConfig(ctx, c.RuntimeConfig())
	defer rt.Close(ctx)
	m, report, err := c.Compile(ctx, rt, wasm, compile.Usual)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(ctx)
	return answerOf(t, rt, m), report
}

func answerOf(t testing.TB, rt wazero.Runtime, m wazero.CompiledModule) uint64 {
	t.Helper()
	ctx := t.Context()
	i, err := rt.InstantiateModule(ctx, m, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close(ctx)
	got, err := i.ExportedFunction("f").Call(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// fails prepares a module and returns its error, which it must have.
func fails(t testing.TB, c *compile.Compiler, wasm []byte, reason fault.Reason) *fault.Error {
	t.Helper()
	p, err := c.Prepare(t.Context(), wasm, compile.Usual)
	if err == nil {
		p.Release()
		t.Fatalf("the module was compiled, want %s", reason)
	}
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Reason != reason {
		t.Fatalf("got %T %v, want %s", err, err, reason)
	}
	return e
}

// goGuest is an honest module of some size: a service written in Go.
var goGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "ruedo-guest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", out, "../testdata/guests/function")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the guest: %w\n%s", err, text)
	}
	return os.ReadFile(out)
})

// files returns all paths in a directory, except directories.
func files(t testing.TB, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
