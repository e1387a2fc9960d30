package inflight

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWithin(t *testing.T) {
	want := errors.New("closed badly")
	if err := Within(t.Context(), "it", func(context.Context) error { return want }); err != want {
		t.Errorf("%v, want %v", err, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := Within(ctx, "it", func(ctx context.Context) error { <-ctx.Done(); return want }); err != want {
		t.Errorf("a part that notices the end: %v, want %v", err, want)
	}
	release := make(chan struct{})
	defer close(release)
	began := time.Now()
	err := Within(ctx, "the mirror", func(context.Context) error { <-release; return nil })
	if err == nil || !strings.Contains(err.Error(), "the mirror did not stop within") {
		t.Errorf("a part that hangs: %v", err)
	}
	if took := time.Since(began); took > 3*grace {
		t.Errorf("waited %v", took)
	}
}
