package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/mirror"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeMirror is a mirror whose snapshots the test sets.
type fakeMirror struct {
	mu       sync.Mutex
	snapshot *mirror.Snapshot
	changed  chan struct{}
}

func newMirror() *fakeMirror {
	return &fakeMirror{snapshot: &mirror.Snapshot{}, changed: make(chan struct{})}
}

func (m *fakeMirror) Snapshot() *mirror.Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snapshot
}

func (m *fakeMirror) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *fakeMirror) set(decorators []*ruedov1.Decorator, services []*ruedov1.Service) {
	s := &mirror.Snapshot{Decorators: map[string]*ruedov1.Decorator{}, Services: map[string]*ruedov1.Service{}}
	for _, d := range decorators {
		s.Decorators[d.GetName()] = d
	}
	for _, svc := range services {
		s.Services[svc.GetName()] = svc
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snapshot = s
	close(m.changed)
	m.changed = make(chan struct{})
}

func decorator(t *testing.T, name string, version int64, schema string) *ruedov1.Decorator {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(schema), &fields); err != nil {
		t.Fatal(err)
	}
	s, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	return &ruedov1.Decorator{Name: name, Version: version, InputSchema: s}
}

func service(name string, version int64, decorators ...string) *ruedov1.Service {
	return &ruedov1.Service{Name: name, Version: version, Revision: &ruedov1.Revision{Service: name, Number: 1, Module: strings.Repeat("a", 64), Decorators: decorators}}
}

// callable returns a catalog whose executor is an echo.
func callable(t *testing.T, m *fakeMirror, logs *slog.Logger) *catalog.Catalog {
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
	entry, err := c.Resolve(name)
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

// This matters when a core has just started, or a decorator has just changed.
func TestACallNeverWaitsForTheSchemaOfAnotherService(t *testing.T) {
	const others = 20 // a second or more to compile
	m := newMirror()
	c := callable(t, m, nil)
	c.Start()
	decorators := []*ruedov1.Decorator{decorator(t, "mine", 1, `{"required":["name"]}`)}
	services := []*ruedov1.Service{service("victim", 2, "mine"), service("plain", 3)}
	for i := range others {
		name := fmt.Sprintf("a-%d", i)
		decorators = append(decorators, decorator(t, name, int64(10+i), dear(i)))
		services = append(services, service(name, int64(100+i), name))
	}
	m.set(decorators, services)
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
	m := newMirror()
	c := callable(t, m, nil)
	c.Start()
	for i := range 50 {
		field := fmt.Sprintf("f%d", i)
		m.set([]*ruedov1.Decorator{decorator(t, "d", int64(i+1), `{"required":["`+field+`"]}`)}, []*ruedov1.Service{service("s", 1, "d")})
		if err := call(t, c, "s", `{"`+field+`":1}`); err != nil {
			t.Fatalf("version %d: %v", i+1, err)
		}
		if err := call(t, c, "s", `{"f":1}`); !errors.Is(err, fault.InputInvalid) {
			t.Fatalf("version %d: %v", i+1, err)
		}
	}
}

// lines is where a logger writes.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The schema was stored by a version that had no limits.
func TestASchemaThatCostsTooMuchDisablesItsServicesAlone(t *testing.T) {
	var log lines
	m := newMirror()
	c := callable(t, m, slog.New(slog.NewTextHandler(&log, nil)))
	c.Start()
	deep := strings.Repeat(`{"items":`, 2000) + "{}" + strings.Repeat("}", 2000)
	bad := decorator(t, "bad", 1, deep)
	good := decorator(t, "good", 2, `{"required":["name"]}`)
	services := []*ruedov1.Service{service("ill", 3, "bad"), service("ill-too", 4, "good", "bad"), service("well", 5, "good")}
	m.set([]*ruedov1.Decorator{bad, good}, services)
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
		m.set([]*ruedov1.Decorator{bad, good}, append(services, service("other", 6)))
	}
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(log.String(), "decorator=bad") {
		if time.Now().After(deadline) {
			t.Fatalf("it is not logged: %s", log.String())
		}
		time.Sleep(time.Millisecond)
	}
	if n := strings.Count(log.String(), "decorator=bad"); n != 1 {
		t.Errorf("it is logged %d times:\n%s", n, log.String())
	}
	// Repaired.
	m.set([]*ruedov1.Decorator{decorator(t, "bad", 7, `{}`), good}, services)
	if err := call(t, c, "ill", `{"name":"Ada"}`); err != nil {
		t.Error(err)
	}
}

func TestResolvingTakesNoLockAndNoMemory(t *testing.T) {
	m := newMirror()
	c := callable(t, m, nil)
	m.set(nil, []*ruedov1.Service{service("s", 1)})
	var failed atomic.Bool
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.Resolve("s"); err != nil {
			failed.Store(true)
		}
	}); n > 0 || failed.Load() {
		t.Errorf("%v allocations, failed %v", n, failed.Load())
	}
}
