package fuel_test

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/fault"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newEngine(t *testing.T, cfg sandbox.Config) *sandbox.Engine {
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

func loadIn(t *testing.T, e *sandbox.Engine, spec sandbox.Spec) *sandbox.Template {
	t.Helper()
	tpl, err := e.Load(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// function returns a module with code as its ruedo_call.
func function(code ...[]byte) []byte {
	m := w.New()
	m.Memory(1, -1)
	m.AsFunction(m.Func(">i", code...))
	return m.Bytes()
}

// refused fails the test unless err is an error with a reason.
func refused(t *testing.T, err error, reason fault.Reason) {
	t.Helper()
	if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != reason {
		t.Fatalf("got %v, want an error with %s", err, reason)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("after 5 s: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
