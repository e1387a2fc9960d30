package invoke_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/core/mirror"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// memory is a mirror whose snapshot the test sets.
type memory struct{ snapshot *mirror.Snapshot }

func (m *memory) Snapshot() *mirror.Snapshot { return m.snapshot }
func (m *memory) Changed() <-chan struct{}   { return nil }

func (m *memory) set(name string, version int64, revision uint64) {
	rev := &ruedov1.Revision{Service: name, Number: revision, Module: strings.Repeat("a", 64)}
	m.snapshot = &mirror.Snapshot{Services: map[string]*ruedov1.Service{name: {Name: name, Version: version, Revision: rev}}}
}

// counter counts how often a name is resolved.
type counter struct {
	*catalog.Catalog
	resolved int
}

func (c *counter) Resolve(service string) (*catalog.Entry, error) {
	c.resolved++
	return c.Catalog.Resolve(service)
}

// echo answers with the plan and the input of each call.
func echo(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	return &runnerv1.ExecuteResponse{Output: []byte(req.GetPlan() + " " + string(req.GetInput()))}, nil
}

func TestACallIsResolvedOnceAndKeepsWhatItBeganWith(t *testing.T) {
	m := &memory{}
	m.set("greet", 1, 1)
	c := &counter{Catalog: catalog.New(catalog.Config{Mirror: m, Executor: executor.Func(echo)})}
	inv := invoke.New(invoke.Config{Catalog: c})
	call, err := inv.Begin("greet")
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Catalog.Resolve("greet")
	if err != nil {
		t.Fatal(err)
	}
	m.set("greet", 2, 2) // while the body arrives
	if call.InputLimit() == 0 || !errors.Is(call.TooLarge("5 bytes"), fault.InputTooLarge) {
		t.Errorf("limit %d, %v", call.InputLimit(), call.TooLarge("5 bytes"))
	}
	res, err := call.Do(t.Context(), invoke.Input{Body: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if string(res.Output) != first.PlanID+" x" || res.Info.GetRevision() != 1 || res.ContentType == "" {
		t.Errorf("%q, revision %d, %s", res.Output, res.Info.GetRevision(), res.ContentType)
	}
	if c.resolved != 1 {
		t.Errorf("the service was resolved %d times", c.resolved)
	}
	if again, err := inv.Begin("greet"); err != nil {
		t.Error(err)
	} else if res, err := again.Do(t.Context(), invoke.Input{}); err != nil || res.Info.GetRevision() != 2 {
		t.Errorf("the next call: %v, %v", res, err)
	}
	if _, err := inv.Begin("gret"); !errors.Is(err, fault.ServiceNotFound) {
		t.Errorf("a service that does not exist: %v", err)
	}
}

func TestBeginAllocatesNothing(t *testing.T) {
	m := &memory{}
	m.set("greet", 1, 1)
	inv := invoke.New(invoke.Config{Catalog: catalog.New(catalog.Config{Mirror: m})})
	failed := false
	if n := testing.AllocsPerRun(100, func() {
		call, err := inv.Begin("greet")
		failed = failed || err != nil || call.InputLimit() == 0
	}); n > 0 || failed {
		t.Errorf("%v allocations, failed %t", n, failed)
	}
}
