package runner

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor/executortest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// A bug in one call is that call's INTERNAL error, with a stack in the log. It
// leaves no slot taken and no plan in use.
func TestACallThatPanicsIsOneFailedCall(t *testing.T) {
	var log bytes.Buffer
	r, err := New(t.Context(), Config{CacheDir: SharedCache, Concurrency: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	src := executortest.NewSource()
	bound := r.Bind(src)
	good, _ := src.Add(wasmtest.Function(wasmtest.I32(0)).Bytes(), nil)
	bad := &prepared{id: "bad", plan: &runnerv1.Plan{Service: "bad"}, template: new(sandbox.Template), of: r.plans}
	r.plans.mu.Lock()
	bad.elem = r.plans.order.PushFront(bad)
	r.plans.table[bad.id] = bad
	r.plans.mu.Unlock()
	for range 3 {
		_, err := bound.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: bad.id, Service: "bad"})
		if e := fault.FromError(err); e.Reason != fault.Internal || e.NotStarted || strings.Contains(e.Message, "nil pointer") {
			t.Errorf("got %#v", err)
		}
		if _, err := bound.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: good, Service: "good"}); err != nil {
			t.Errorf("the next call: %v", err)
		}
	}
	r.plans.mu.Lock()
	if bad.uses != 0 {
		t.Errorf("the plan is used %d times", bad.uses)
	}
	r.plans.remove(bad) // it cannot be closed
	r.plans.mu.Unlock()
	if text := log.String(); strings.Count(text, "level=ERROR") != 3 || !strings.Contains(text, "bind.go") {
		t.Errorf("no stack in the log:\n%s", text)
	}
}
