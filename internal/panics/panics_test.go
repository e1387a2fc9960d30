package panics_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/panics"
)

func bug() error { panic("a bug") }

func TestAPanicIsAnError(t *testing.T) {
	err := panics.Try(bug)
	p, ok := errors.AsType[*panics.Error](err)
	if !ok || p.Value != "a bug" || err.Error() != "panic: a bug" || !strings.Contains(string(p.Stack), "panics_test.bug") {
		t.Errorf("got %v", err)
	}
	want := errors.New("no")
	if err := panics.Try(func() error { return want }); err != want {
		t.Errorf("an error becomes %v", err)
	}
	if err := panics.Try(func() error { return nil }); err != nil {
		t.Errorf("success becomes %v", err)
	}
}
