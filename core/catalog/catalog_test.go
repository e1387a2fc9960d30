package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/coretest"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// callable returns a catalog whose executor is an echo.
func callable(t *testing.T, m *coretest.Mirror, logs *slog.Logger) *catalog.Catalog {
	t.Helper()
	c := catalog.New(catalog.Config{Mirror: m, Logger: logs, Executor: executor.Func(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		return &runnerv1.ExecuteResponse{Output: req.GetInput()}, nil
	})})
	t.Cleanup(c.Close)
	return c
}

func call(t *testing.T, c *catalog.Catalog, name, input string) error {
	t.Helper()
	return execute(t.Context(), c, name, input)
}

func execute(ctx context.Context, c *catalog.Catalog, name, input string) error {
	entry, err := c.Resolve(ctx, name)
	if err != nil {
		return err
	}
	if _, err = entry.Execute(ctx, &runnerv1.ExecuteRequest{Service: name, Input: []byte(input)}); err != nil {
		return fault.FromError(err)
	}
	return nil
}

// dear returns a schema that takes long to compile and is admitted. Schemas for
// different n are not equal.
func dear(n int) string {
	var b strings.Builder
	for i := range 2400 {
		fmt.Fprintf(&b, `"p%d-%d":{"type":"string"},`, n, i)
	}
	return `{"properties":{` + strings.TrimSuffix(b.String(), ",") + `}}`
}

// counted is how many calls a service had.
type counted struct{ calls int }

func (c *counted) Call(fault.Reason, time.Duration, *ruedov1.CallInfo) { c.calls++ }

// A service is counted from its first call until it is deleted. Then calls that go on, or
// begin late, bring nothing back.
func TestWhatCountsAServiceGoesWithIt(t *testing.T) {
	m, counters := coretest.NewMirror(), make(map[string]*counted)
	c := catalog.New(catalog.Config{
		Mirror: m,
		Plan: func(string, *labels.Selector) executor.Executor {
			return executor.Func(func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
				return &runnerv1.ExecuteResponse{}, nil
			})
		},
		Counter: func(service string) catalog.Counter {
			if counters[service] == nil {
				counters[service] = &counted{}
			}
			return counters[service]
		},
		Forget: func(service string) { delete(counters, service) },
	})
	defer c.Close()
	greet := func(version uint64) *catalog.Entry {
		m.Set(nil, coretest.Service("greet", version), coretest.Service("other", 1))
		entry, err := c.Resolve(t.Context(), "greet")
		if err != nil {
			t.Fatal(err)
		}
		return entry
	}
	call := func(entry *catalog.Entry) {
		if _, err := entry.Execute(t.Context(), &runnerv1.ExecuteRequest{}); err != nil {
			t.Fatal(err)
		}
		entry.Count("", time.Millisecond, nil)
	}
	first := greet(2)
	if len(counters) != 0 {
		t.Errorf("%d services that nobody has called are counted", len(counters))
	}
	call(first)
	second := greet(3)
	call(second)
	third := greet(4)
	if n := counters["greet"].calls; n != 2 {
		t.Errorf("%d calls of two revisions are counted, want 2", n)
	}
	m.Set(nil, coretest.Service("other", 1))
	if _, err := c.Resolve(t.Context(), "greet"); !errors.Is(err, fault.ServiceNotFound) {
		t.Fatal(err)
	}
	for _, late := range []*catalog.Entry{first, second, third} {
		call(late)
	}
	if len(counters) != 0 {
		t.Error("a service that was deleted is counted")
	}
	call(greet(5))
	if n := counters["greet"].calls; n != 1 {
		t.Errorf("%d calls are counted of a service that is there again, want 1", n)
	}
}

// This matters when a core has just started, or a decorator has just changed.
func TestACallNeverWaitsForTheSchemaOfAnotherService(t *testing.T) {
	const others = 20 // a second or more to compile
	m := coretest.NewMirror()
	c := callable(t, m, nil)
	c.Start()
	decorators := []*ruedov1.Decorator{coretest.Decorator(t, "mine", 1, `{"required":["name"]}`)}
	services := []*ruedov1.Service{coretest.Service("victim", 2, "mine"), coretest.Service("plain", 3)}
	for i := range others {
		name := fmt.Sprintf("a-%d", i)
		decorators = append(decorators, coretest.Decorator(t, name, int64(10+i), dear(i)))
		services = append(services, coretest.Service(name, uint64(100+i), name))
	}
	m.Set(decorators, services...)
	began := time.Now()
	if err := call(t, c, "plain", `x`); err != nil {
		t.Error(err)
	}
	plain := time.Since(began)
	if err := call(t, c, "victim", `{}`); !errors.Is(err, fault.InputInvalid) {
		t.Errorf("its own schema does not hold: %v", err)
	}
	took := time.Since(began)
	compiled := 0
	for i := range others {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // so that it does not wait for its schema
		if err := execute(ctx, c, fmt.Sprintf("a-%d", i), `{"p":1}`); !errors.Is(err, fault.Canceled) {
			compiled++
		}
		cancel()
	}
	t.Logf("%s without a schema, %s with one; %d of %d others were compiled by then", plain, took, compiled, others)
	if compiled == others {
		t.Error("the call came after all others")
	}
}

func TestACallSeesWhatTheMirrorHas(t *testing.T) {
	m := coretest.NewMirror()
	c := callable(t, m, nil)
	c.Start()
	for i := range 50 {
		field := fmt.Sprintf("f%d", i)
		m.Set([]*ruedov1.Decorator{coretest.Decorator(t, "d", int64(i+1), `{"required":["`+field+`"]}`)}, coretest.Service("s", 1, "d"))
		if err := call(t, c, "s", `{"`+field+`":1}`); err != nil {
			t.Fatalf("version %d: %v", i+1, err)
		}
		if err := call(t, c, "s", `{"f":1}`); !errors.Is(err, fault.InputInvalid) {
			t.Fatalf("version %d: %v", i+1, err)
		}
	}
}

// The schema was stored by a version that had no limits.
func TestASchemaThatCostsTooMuchDisablesItsServicesAlone(t *testing.T) {
	var log testkit.Log
	m := coretest.NewMirror()
	c := callable(t, m, log.Logger())
	c.Start()
	deep := strings.Repeat(`{"items":`, 2000) + "{}" + strings.Repeat("}", 2000)
	bad := coretest.Decorator(t, "bad", 1, deep)
	good := coretest.Decorator(t, "good", 2, `{"required":["name"]}`)
	services := []*ruedov1.Service{coretest.Service("ill", 3, "bad"), coretest.Service("ill-too", 4, "good", "bad"), coretest.Service("well", 5, "good")}
	m.Set([]*ruedov1.Decorator{bad, good}, services...)
	for range 3 {
		for _, name := range []string{"ill", "ill-too"} {
			err := call(t, c, name, `{"name":"Ada"}`)
			e := fault.FromError(err)
			if !errors.Is(err, fault.SchemaLimit) || !strings.Contains(err.Error(), "decorator bad") || e.Fix == "" || e.Meta["limit"] == "" {
				t.Errorf("%s: %v, fix %q, meta %v", name, err, e.Fix, e.Meta)
			}
		}
		if err := call(t, c, "well", `{"name":"Ada"}`); err != nil {
			t.Error(err)
		}
		m.Set([]*ruedov1.Decorator{bad, good}, append(services, coretest.Service("other", 6))...)
	}
	if !testkit.Poll(testkit.Patience, func() bool { return strings.Contains(log.String(), "decorator=bad") }) {
		t.Fatalf("it is not logged: %s", log.String())
	}
	if n := strings.Count(log.String(), "decorator=bad"); n != 1 {
		t.Errorf("it is logged %d times:\n%s", n, log.String())
	}
	// Repaired.
	m.Set([]*ruedov1.Decorator{coretest.Decorator(t, "bad", 7, `{}`), good}, services...)
	if err := call(t, c, "ill", `{"name":"Ada"}`); err != nil {
		t.Error(err)
	}
}

func TestResolvingTakesNoLockAndNoMemory(t *testing.T) {
	m := coretest.NewMirror()
	c := callable(t, m, nil)
	m.Set(nil, coretest.Service("s", 1))
	var failed atomic.Bool
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.Resolve(t.Context(), "s"); err != nil {
			failed.Store(true)
		}
	}); n > 0 || failed.Load() {
		t.Errorf("%v allocations, failed %v", n, failed.Load())
	}
}

// What a live service uses was compiled in this cluster, so runners are patient
// with it.
func TestLivePlansWereCompiledBefore(t *testing.T) {
	m := coretest.NewMirror()
	m.Set(nil, coretest.Service("a", 1))
	c := callable(t, m, nil)
	plans := c.Plans()
	if len(plans) != 1 || !plans[0].GetCompiled() {
		t.Errorf("got %v", plans)
	}
	if !c.Compiled(coretest.Digest) || c.Compiled(strings.Repeat("b", 64)) {
		t.Error("a module of a live service was not compiled before, or another one was")
	}
}

// Each compiled schema takes memory, and of many services few are called.
func TestSchemasAreCompiledWhenTheyAreNeeded(t *testing.T) {
	const services, ahead = 600, 256
	m := coretest.NewMirror()
	c := callable(t, m, nil)
	var decorators []*ruedov1.Decorator
	var all []*ruedov1.Service
	for i := range services {
		name := fmt.Sprintf("s-%03d", i)
		decorators = append(decorators, coretest.Decorator(t, name, int64(i+1), fmt.Sprintf(`{"type":"%s"}`, name)))
		all = append(all, coretest.Service(name, uint64(1000+i), name))
	}
	m.Set(decorators, all...)
	c.Start()
	compiled := func() (n int) {
		for _, s := range all {
			if _, err := c.State(s.GetName()); err != nil { // there is no such type
				n++
			}
		}
		return n
	}
	testkit.Eventually(t, "the first schemas are compiled", func() bool { return compiled() == ahead })
	m.Set(decorators, append(all, coretest.Service("a", 5000))...)
	if err := call(t, c, "s-599", `{}`); !errors.Is(err, fault.SchemaInvalid) {
		t.Errorf("the schema of the last one is not compiled: %v", err)
	}
	c.Close() // the goroutine that compiles has seen the change, or never will
	if n := compiled(); n != ahead+1 {
		t.Errorf("%d schemas are compiled, and one was needed", n)
	}
}
