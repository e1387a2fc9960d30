package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// guests builds each Go guest once.
type guests struct {
	dir string
	mu  sync.Mutex
	got map[string][]byte
}

var built = &guests{got: map[string][]byte{}}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ruedo-guests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built.dir = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// guest is a program of testdata/guests, as a function or a command.
func guest(t testing.TB, name string) []byte {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	if b, ok := built.got[name]; ok {
		return b
	}
	mode := "c-shared"
	if name == "command" {
		mode = "default"
	}
	out := filepath.Join(built.dir, name+".wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode="+mode, "-o", out, "./testdata/guests/"+name)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the guest %s: %v\n%s", name, err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	built.got[name] = b
	return b
}

// compiler compiles without the race detector.
var compiler = sync.OnceValue(func() []string {
	command, err := testkit.Compiler(built.dir)
	if err != nil {
		panic(err)
	}
	return command
})

// cached returns a configuration with one cache for all tests, so that each
// guest is compiled once.
func cached() sandbox.Config {
	return sandbox.Config{CacheDir: filepath.Join(built.dir, "cache"), Compiler: compiler()}
}

func newEngine(t testing.TB, cfg sandbox.Config) *sandbox.Engine {
	t.Helper()
	e, err := sandbox.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(t.Context()); err != nil && !errors.Is(err, t.Context().Err()) {
			t.Errorf("closing the engine: %v", err)
		}
	})
	return e
}

func load(t testing.TB, spec sandbox.Spec) *sandbox.Template {
	t.Helper()
	return loadIn(t, newEngine(t, cached()), spec)
}

func loadIn(t testing.TB, e *sandbox.Engine, spec sandbox.Spec) *sandbox.Template {
	t.Helper()
	tpl, err := e.Load(t.Context(), spec)
	if err != nil {
		t.Fatalf("%v (%+v)", err, err)
	}
	return tpl
}

// refused fails the test unless err is an *Error with a reason and everything
// else that a reader needs.
func refused(t testing.TB, err error, reason fault.Reason) *fault.Error {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		t.Fatalf("got %v, want an error with %s", err, reason)
	}
	if e.Reason != reason {
		t.Fatalf("got %s %q (%v), want %s", e.Reason, e.Message, e.Err, reason)
	}
	if e.Message == "" {
		t.Errorf("no message: %+v", e)
	}
	if e.Fix == "" && reason != fault.GuestError && reason != fault.Canceled && reason != fault.Internal {
		t.Errorf("no fix: %+v", e)
	}
	return e
}
