package catalog

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/core/decorate"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

// Counter counts the calls of one service.
type Counter interface {
	// Call counts one call. outcome is the reason of its failure, or "".
	Call(outcome fault.Reason, took time.Duration, info *ruedov1.CallInfo)
}

// Entry is one service, ready to be called. It does not change. What each call needs comes
// first, even if it repeats what stands elsewhere: with thousands of services, what a call
// costs is the memory that it touches.
type Entry struct {
	Name   string
	PlanID string
	// Number of the revision.
	Number     uint64
	InputLimit uint64
	Timeout    time.Duration
	Kind       ruedov1.Kind
	Idempotent bool
	called     atomic.Bool // what follows is set, which it is by the first call
	executor   executor.Executor
	counter    Counter // nil if nothing counts the calls
	err        error

	Service *ruedov1.Service
	Rules   *decorate.Rules
	Plan    *runnerv1.Plan

	placement *labels.Selector
	catalog   *Catalog
	types     *attached // the schema of the revision itself; nil if it has none
	// made are the decorators that it was made with, so that it can be reused; nil
	// for one that does not exist.
	made []*attached
}

// Execute executes a call of the service if the call passes its rules.
func (e *Entry) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	if !e.called.Load() {
		e.call()
	}
	return e.executor.Execute(ctx, req)
}

// Count counts a call that was executed. outcome is the reason of its failure, or "".
func (e *Entry) Count(outcome fault.Reason, took time.Duration, info *ruedov1.CallInfo) {
	if e.counter != nil {
		e.counter.Call(outcome, took, info)
	}
}

// call gets what calls need. Of thousands of services few are called.
func (e *Entry) call() {
	c := e.catalog
	c.build.Lock() // so that nothing is forgotten meanwhile
	defer c.build.Unlock()
	if e.called.Load() {
		return
	}
	if e.executor = c.cfg.Executor; c.cfg.Plan != nil {
		e.executor = c.cfg.Plan(e.PlanID, e.placement)
	}
	e.executor = executor.Chain(e.executor, e.Rules.Middleware)
	if c.cfg.Counter != nil && c.now.Load().entries[e.Name] != nil {
		e.counter = c.cfg.Counter(e.Name)
	}
	e.called.Store(true)
}

var _ executor.Executor = (*Entry)(nil)

// PassesAuthorization reports whether the service gets to see that field.
func (e *Entry) PassesAuthorization() bool {
	return len(e.Rules.Authorization) > 0 && e.Service.GetRevision().GetKind() == ruedov1.Kind_KIND_HTTP
}

// entry makes the entry of a service, or reuses the previous one if neither the
// service nor its decorators have changed.
func (c *Catalog) entry(v *view, was *Entry, s *ruedov1.Service) *Entry {
	names := s.GetRevision().GetDecorators()
	if was != nil && was.Service.GetVersion() == s.GetVersion() && v.same(was.made, names) {
		return was
	}
	e := &Entry{
		Name: s.GetName(), Number: s.GetRevision().GetNumber(), Kind: s.GetRevision().GetKind(), Service: s,
		catalog: c, made: make([]*attached, len(names)),
	}
	for i, name := range names {
		e.made[i] = v.decorators[name]
	}
	ds, err := v.rules(s)
	if err != nil {
		// The service stays uncallable rather than losing a rule.
		c.log.Error("service cannot be called", "service", s.GetName(), "error", err)
		e.err = err
		return e
	}
	if was != nil && was.types != nil && was.types.version == s.GetVersion() {
		e.types = was.types
	} else if own := c.compiler.Types(s.GetRevision()); own != nil {
		e.types = &attached{version: s.GetVersion(), decorator: own}
	}
	if e.types != nil {
		ds = append(ds, e.types.decorator)
	}
	e.Rules = decorate.Combine(s.GetRevision().GetKind(), ds).Restore(s)
	if err := e.Rules.Fit(s.GetName()); err != nil {
		c.log.Error("service cannot be called", "service", s.GetName(), "error", err)
		e.err = err
		return e
	}
	if e.placement, err = placement(s); err != nil {
		c.log.Error("service cannot be called", "service", s.GetName(), "error", err)
		e.err = err
		return e
	}
	e.InputLimit, e.Timeout, e.Idempotent = e.Rules.Limits.GetInputBytes(), e.Rules.Limits.GetTimeout().AsDuration(), e.Rules.Idempotent
	e.PlanID, e.Plan, e.err = e.Rules.Plan(s.GetRevision())
	return e
}

// placement returns which runners may execute a service; nil if all of them may.
func placement(s *ruedov1.Service) (*labels.Selector, error) {
	selector, err := labels.ParseSelector(s.GetRevision().GetPlacement())
	if err != nil {
		return nil, fault.Wrap(err, fault.Integrity, "the placement of service %s cannot be read: %s", s.GetName(), err).
			WithFix("publish the service again, or update this core")
	}
	if selector.Empty() {
		return nil, nil
	}
	return selector, nil
}

// same reports whether the decorators with these names are the same as before.
func (v *view) same(made []*attached, names []string) bool {
	if len(made) != len(names) {
		return false
	}
	for i, name := range names {
		if made[i] != v.decorators[name] {
			return false
		}
	}
	return true
}

func (v *view) rules(s *ruedov1.Service) ([]*decorate.Decorator, error) {
	var ds []*decorate.Decorator
	for _, name := range s.GetRevision().GetDecorators() {
		d := v.decorators[name]
		if err := v.snapshot.Fault(keys.KindDecorator, name); d == nil && err != nil {
			return nil, err
		}
		if d == nil {
			return nil, fault.New(fault.DecoratorNotFound, "service %s carries decorator %s, which is not stored", s.GetName(), name).
				WithFix("create decorator %s, or publish %s without it", name, s.GetName())
		}
		ds = append(ds, d.decorator)
	}
	return ds, nil
}
