// Package coretest holds what tests of single rooms of the core put in the place
// of a store and of runners, so that these tests take milliseconds.
//
//	m := coretest.NewMirror()
//	m.Set(nil, coretest.Service("echo", 1))
//	inv := coretest.NewInvoker(m, executor.Func(execute))
package coretest

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/core/mirror"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/executor"
)

// Digest is the module of every service of this package.
var Digest = strings.Repeat("a", 64)

// Service returns a service at a version; its revision has the same number.
func Service(name string, version uint64, decorators ...string) *ruedov1.Service {
	return &ruedov1.Service{
		Name: name, Version: int64(version), Latest: version,
		Revision: &ruedov1.Revision{Service: name, Number: version, Module: Digest, Decorators: decorators},
	}
}

// Decorator returns a decorator with a schema in JSON.
func Decorator(t testing.TB, name string, version int64, schema string) *ruedov1.Decorator {
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

// Mirror is a mirror whose snapshot the test sets. It is safe for concurrent
// use.
type Mirror struct {
	mu       sync.Mutex
	snapshot *mirror.Snapshot
	changed  chan struct{}
}

// NewMirror returns an empty mirror.
func NewMirror() *Mirror {
	return &Mirror{snapshot: &mirror.Snapshot{}, changed: make(chan struct{})}
}

// Set replaces all that the mirror shows.
func (m *Mirror) Set(decorators []*ruedov1.Decorator, services ...*ruedov1.Service) {
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

// Change shows a copy of what the mirror shows, as change has made it. Maps that it
// changes must be new ones, as those of a mirror are.
func (m *Mirror) Change(change func(s *mirror.Snapshot)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := *m.snapshot
	change(&s)
	m.snapshot = &s
	close(m.changed)
	m.changed = make(chan struct{})
}

// Age returns zero: the store has just answered.
func (m *Mirror) Age() time.Duration { return 0 }

// Snapshot returns what was set last.
func (m *Mirror) Snapshot() *mirror.Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snapshot
}

// Changed returns a channel that the next Set closes.
func (m *Mirror) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Invoker is an invoker that counts how often a call is begun.
type Invoker struct {
	*invoke.Invoker
	Begun int
}

// NewInvoker returns an invoker for the services of a mirror.
func NewInvoker(m *Mirror, ex executor.Executor) *Invoker {
	return &Invoker{Invoker: invoke.New(invoke.Config{Catalog: catalog.New(catalog.Config{Mirror: m, Executor: ex})})}
}

// Begin counts the call and begins it.
func (v *Invoker) Begin(ctx context.Context, service string) (invoke.Call, error) {
	v.Begun++
	return v.Invoker.Begin(ctx, service)
}

// Context returns the context of a test that may do everything, unless grants say
// what it may do.
func Context(t testing.TB, grants ...string) context.Context {
	t.Helper()
	p := &access.Principal{Name: "user/test", Grants: access.Set{access.Everything}}
	if len(grants) > 0 {
		var err error
		if p.Grants, err = access.ParseAll(grants); err != nil {
			t.Fatal(err)
		}
	}
	return access.With(t.Context(), &access.Request{Principal: p, Via: access.ViaMemory})
}
