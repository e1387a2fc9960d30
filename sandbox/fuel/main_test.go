package fuel_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/fault"
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

// refused fails the test unless err is an error with a reason.
func refused(t *testing.T, err error, reason fault.Reason) {
	t.Helper()
	if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != reason {
		t.Fatalf("got %v, want an error with %s", err, reason)
	}
}
