package invoke

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/core/mirror"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/exec"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Catalog is what can be called, as of one snapshot of the mirror. It is
// immutable.
type Catalog struct {
	snapshot   *mirror.Snapshot
	entries    map[string]*Entry
	decorators map[string]*attached
	// plans holds the live plans and those of the catalog before: a runner may
	// still ask for the plan of a call that set out under it.
	plans, live map[string]*runnerv1.Plan
}

// Entry is one service ready to be called. It is immutable.
type Entry struct {
	Service *ruedov1.Service
	Rules   *decorate.Rules
	PlanID  string
	Plan    *runnerv1.Plan

	executor exec.Executor
	// made tells which versions it was made of, so that it can be kept.
	made string
	err  error
}

// attached is a decorator as of one version. Its schema may not be compiled yet.
type attached struct {
	version   int64
	decorator *decorate.Decorator
	// told is for the goroutine that follows the catalog: it has compiled it.
	told bool
}

// Resolve finds a service; SERVICE_NOT_FOUND suggests the nearest name.
func (h *Hall) Resolve(name string) (*Entry, error) {
	c := h.current()
	e, ok := c.entries[name]
	if !ok {
		if err := c.snapshot.Fault(keys.KindService, name); err != nil {
			return nil, err
		}
		err := fault.New(fault.ServiceNotFound, "there is no service %q", name)
		if hint := fault.DidYouMean(name, slices.Collect(maps.Keys(c.entries))); hint != "" {
			return nil, err.WithFix("%s", hint)
		}
		return nil, err.WithFix("list the services")
	}
	if e.err != nil {
		return nil, e.err
	}
	return e, nil
}

// Plans gives the live plans in a stable order, for runners that attach.
func (h *Hall) Plans() []*runnerv1.PrepareRequest {
	c := h.current()
	out := make([]*runnerv1.PrepareRequest, 0, len(c.live))
	for _, id := range slices.Sorted(maps.Keys(c.live)) {
		out = append(out, &runnerv1.PrepareRequest{Id: id, Plan: c.live[id]})
	}
	return out
}

// Plan gives the plan with this id, live, just replaced, or being published.
func (h *Hall) Plan(_ context.Context, id string) (*runnerv1.Plan, error) {
	if p, ok := h.current().plans[id]; ok {
		return p, nil
	}
	if p, ok := h.pending.Load(id); ok {
		return p.(*runnerv1.Plan), nil
	}
	return nil, fault.New(fault.PlanNotFound, "there is no plan %.12s: the service was deleted or published anew", id)
}

// Announce makes a plan known before it is live, so that runners can ask for
// it while it is prepared. Call forget when the publish is over.
func (h *Hall) Announce(id string, plan *runnerv1.Plan) (forget func()) {
	h.pending.Store(id, plan)
	return func() { h.pending.Delete(id) }
}

// current returns the catalog of the mirror's present snapshot. A caller that
// has seen the mirror reach a revision sees a catalog that has it too. Building
// one compiles nothing: it takes as long as adding up limits does.
func (h *Hall) current() *Catalog {
	snap := h.cfg.Mirror.Snapshot()
	if c := h.catalog.Load(); c != nil && c.snapshot == snap {
		return c
	}
	h.build.Lock()
	defer h.build.Unlock()
	// The mirror may have moved on while this goroutine waited; the newest
	// snapshot is built, so the catalog never goes back in time.
	snap = h.cfg.Mirror.Snapshot()
	old := h.catalog.Load()
	if old != nil && old.snapshot == snap {
		return old
	}
	c := h.next(old, snap)
	h.catalog.Store(c)
	return c
}

// Decorator returns a stored decorator, that of the catalog if it has this version:
// then its schema is compiled for all.
func (h *Hall) Decorator(stored *ruedov1.Decorator) *decorate.Decorator {
	if d := h.current().decorators[stored.GetName()]; d != nil && d.version == stored.GetVersion() {
		return d.decorator
	}
	return h.compiler.Decorator(stored)
}

// Start starts a goroutine that follows the mirror, so that catalogs are built and
// schemas compiled before calls need them. Without it, or before it has compiled
// them, a call waits for the schemas of its own service and for nothing else.
func (h *Hall) Start() {
	h.running.Go(func() {
		for h.down.Err() == nil {
			changed := h.cfg.Mirror.Changed()
			h.compile(h.current())
			select {
			case <-changed:
			case <-h.down.Done():
			}
		}
	})
}

// Close ends what Start began and waits for it.
func (h *Hall) Close() {
	h.stop()
	h.running.Wait()
}

// compile makes the schemas ready that services use, and logs once what keeps
// services from being called.
func (h *Hall) compile(c *Catalog) {
	for _, service := range slices.Sorted(maps.Keys(c.entries)) {
		for _, name := range c.entries[service].Service.GetRevision().GetDecorators() {
			d := c.decorators[name]
			if d == nil || d.told {
				continue
			}
			err := d.decorator.Ready(h.down)
			if h.down.Err() != nil {
				return
			}
			d.told = true
			if err != nil {
				h.log.Error("services with this decorator cannot be called", "decorator", name, "service", service,
					"reason", fault.ReasonOf(err), "error", err, "fix", fault.Of(err).Fix)
			}
		}
	}
}

func (h *Hall) next(old *Catalog, snap *mirror.Snapshot) *Catalog {
	if old == nil {
		old = &Catalog{}
	}
	c := &Catalog{
		snapshot:   snap,
		entries:    make(map[string]*Entry, len(snap.Services)),
		decorators: make(map[string]*attached, len(snap.Decorators)),
		plans:      maps.Clone(old.live),
		live:       make(map[string]*runnerv1.Plan, len(snap.Services)),
	}
	if c.plans == nil {
		c.plans = make(map[string]*runnerv1.Plan, len(snap.Services))
	}
	for name, d := range snap.Decorators {
		if was := old.decorators[name]; was != nil && was.version == d.GetVersion() {
			c.decorators[name] = was
			continue
		}
		c.decorators[name] = &attached{version: d.GetVersion(), decorator: h.compiler.Decorator(d)}
	}
	for name, s := range snap.Services {
		e := h.entry(c, old.entries[name], s)
		c.entries[name] = e
		if e.err == nil {
			c.plans[e.PlanID] = e.Plan
			c.live[e.PlanID] = e.Plan
		}
	}
	return c
}

// entry makes a service ready, or keeps the one of before where neither the
// service nor one of its decorators has changed.
func (h *Hall) entry(c *Catalog, was *Entry, s *ruedov1.Service) *Entry {
	made := fmt.Sprint(s.GetVersion())
	for _, name := range s.GetRevision().GetDecorators() {
		if d := c.decorators[name]; d != nil {
			made += fmt.Sprint(" ", name, " ", d.version)
		}
	}
	if was != nil && was.made == made {
		return was
	}
	e := &Entry{Service: s, made: made}
	ds, err := c.rules(s)
	if err != nil {
		// The service stays uncallable rather than losing a rule.
		h.log.Error("service cannot be called", "service", s.GetName(), "error", err)
		e.err = err
		return e
	}
	e.Rules = decorate.Combine(ds)
	e.PlanID, e.Plan, e.err = e.Rules.Plan(s.GetRevision())
	e.executor = exec.Chain(h.cfg.Executor, e.Rules.Middleware)
	return e
}

func (c *Catalog) rules(s *ruedov1.Service) ([]*decorate.Decorator, error) {
	var ds []*decorate.Decorator
	for _, name := range s.GetRevision().GetDecorators() {
		d := c.decorators[name]
		if err := c.snapshot.Fault(keys.KindDecorator, name); d == nil && err != nil {
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
