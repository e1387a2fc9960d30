// Package catalog holds what can be called: the services of the mirror, each
// with the rules of its decorators, ready to execute.
//
//	c := catalog.New(catalog.Config{Mirror: mirror, Executor: dispatcher})
//	c.Start()
//	defer c.Close()
//	entry, err := c.Resolve(ctx, "greet")
//
// # Made from the mirror
//
// The catalog is rebuilt only when the mirror has changed. Entries that did not
// change are reused, including compiled schemas. Resolving a name costs two
// atomic loads and a map lookup: no store read, no lock.
//
// Rebuilding it compiles no schema. The goroutine that [Catalog.Start] starts
// compiles some of them, or the first call that needs one. So a call never waits
// for the schema of another service, and a schema that cannot be used disables
// only its own services.
//
// # Concurrency
//
// All methods can be called from many goroutines.
package catalog

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/core/mirror"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/route"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// Mirror is what the catalog is built from: a mirror.Mirror.
type Mirror interface {
	Snapshot() *mirror.Snapshot
	Changed() <-chan struct{}
}

// Config configures a Catalog.
type Config struct {
	// Mirror holds the services. Required.
	Mirror Mirror
	// Executor executes the calls that pass a service's rules, unless Plan is set.
	Executor executor.Executor
	// Plan returns what executes those of one plan: the dispatcher's. It is called once for
	// an entry, so that no call looks for it. placement chooses the runners; nil means any.
	Plan func(id string, placement *labels.Selector) executor.Executor
	// Counter returns what counts the calls of a service. It is called once for an entry,
	// and Forget for each service that was deleted, after which there is no Counter call for
	// it until it is there again. Nil: nothing counts them.
	Counter func(service string) Counter
	Forget  func(service string)
	// Revision reads a revision that is not live from the store. If nil, only live
	// revisions can be called.
	Revision func(ctx context.Context, service string, number uint64) (*ruedov1.Revision, error)
	// Logger records services that cannot be called; nil discards.
	Logger *slog.Logger
}

// Catalog resolves the names of services.
type Catalog struct {
	cfg     Config
	log     *slog.Logger
	now     atomic.Pointer[view]
	build   sync.Mutex // one at a time
	pending sync.Map   // plan id -> *runnerv1.Plan, being published
	pinned  pinned

	compiler *decorate.Compiler
	down     context.Context // ends with Close
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// New returns a catalog. It starts no goroutines before Start.
func New(cfg Config) *Catalog {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Catalog{cfg: cfg, log: log, compiler: decorate.NewCompiler()}
	c.down, c.stop = context.WithCancel(context.Background())
	return c
}

// Compiler returns the compiler for the schemas of decorators. Code that stores
// decorators uses it too, so that each schema is compiled once.
func (c *Catalog) Compiler() *decorate.Compiler { return c.compiler }

// view is the catalog as of one snapshot of the mirror. It is immutable.
type view struct {
	snapshot   *mirror.Snapshot
	entries    map[string]*Entry
	decorators map[string]*attached
	// plans holds the live plans and those of the previous view: a runner may
	// still request the plan of a call that started under that view.
	plans, live map[string]*runnerv1.Plan
	// routes leads to the services; nil if none has a route.
	routes *route.Table
}

// attached is a decorator as of one version, or the schema of one revision. Its
// schema may not be compiled yet.
type attached struct {
	version   int64
	decorator *decorate.Decorator
	// told is used by the goroutine that follows the catalog: it has compiled
	// the schema.
	told bool
}

// Resolve finds a service; SERVICE_NOT_FOUND suggests the nearest name that the
// request of a context may read. Whether it may have the service is not asked here.
func (c *Catalog) Resolve(ctx context.Context, name string) (*Entry, error) {
	return c.current().resolve(ctx, name)
}

// Missing returns SERVICE_NOT_FOUND, as Resolve does.
func (c *Catalog) Missing(ctx context.Context, name string) error {
	return c.current().missing(ctx, name)
}

func (v *view) missing(ctx context.Context, name string) error {
	visible := access.Visible(ctx, access.Service)
	var known []string
	for other := range v.entries {
		if visible(other) {
			known = append(known, other)
		}
	}
	return fault.New(fault.ServiceNotFound, "there is no service %q", name).
		WithFix("%s", suggest.Or(name, known, "list the services"))
}

func (v *view) resolve(ctx context.Context, name string) (*Entry, error) {
	e, ok := v.entries[name]
	if !ok {
		if err := v.snapshot.Fault(keys.KindService, name); err != nil {
			return nil, err
		}
		return nil, v.missing(ctx, name)
	}
	if e.err != nil {
		return nil, e.err
	}
	return e, nil
}

// PassesAuthorization reports whether a service gets to see the field Authorization of
// its requests.
func (c *Catalog) PassesAuthorization(service string) bool {
	e := c.current().entries[service]
	return e != nil && e.err == nil && e.PassesAuthorization()
}

// State returns the id of a service's live plan, or why the service cannot be
// called, as far as that is known: it compiles nothing.
func (c *Catalog) State(name string) (plan string, err error) {
	e, err := c.Resolve(c.down, name)
	if err != nil {
		return "", err
	}
	return e.PlanID, e.Rules.Refused()
}

// Plans returns the live plans in any order, for runners that attach.
func (c *Catalog) Plans() []*runnerv1.PrepareRequest {
	v := c.current()
	out := make([]*runnerv1.PrepareRequest, 0, len(v.live))
	for id, plan := range v.live {
		out = append(out, &runnerv1.PrepareRequest{Id: id, Plan: plan, Compiled: true})
	}
	return out
}

// Compiled reports whether a live service uses the module, so that a runner of
// this cluster has compiled it.
func (c *Catalog) Compiled(digest string) bool {
	for _, p := range c.current().live {
		if p.GetModule() == digest {
			return true
		}
	}
	return false
}

// Plan returns the plan with this id: live, just replaced, being published, or
// of a revision that was called by its number.
func (c *Catalog) Plan(_ context.Context, id string) (*runnerv1.Plan, error) {
	if p, ok := c.current().plans[id]; ok {
		return p, nil
	}
	if p, ok := c.pending.Load(id); ok {
		return p.(*runnerv1.Plan), nil
	}
	if p := c.pinned.plan(id); p != nil {
		return p, nil
	}
	return nil, fault.New(fault.PlanNotFound, "there is no plan %.12s: the service was deleted or published again", id)
}

// ShareUnpublished makes a plan available before it is live, so that runners
// can request it while they prepare it. Call forget when the publish is over.
func (c *Catalog) ShareUnpublished(id string, plan *runnerv1.Plan) (forget func()) {
	c.pending.Store(id, plan)
	return func() { c.pending.Delete(id) }
}

// current returns the view of the mirror's current snapshot. A caller that has
// seen the mirror reach a revision gets a view that includes it. Making a view
// compiles nothing; it takes no longer than combining limits.
func (c *Catalog) current() *view {
	snap := c.cfg.Mirror.Snapshot()
	if v := c.now.Load(); v != nil && v.snapshot == snap {
		return v
	}
	c.build.Lock()
	defer c.build.Unlock()
	// The mirror may have moved on while this goroutine waited. Use the newest
	// snapshot, so that the catalog never goes back in time.
	snap = c.cfg.Mirror.Snapshot()
	old := c.now.Load()
	if old != nil && old.snapshot == snap {
		return old
	}
	v := c.next(old, snap)
	c.now.Store(v)
	return v
}

// Decorator returns a stored decorator. It is the catalog's own if the catalog
// has this version, so that its schema is compiled only once.
func (c *Catalog) Decorator(stored *ruedov1.Decorator) *decorate.Decorator {
	if d := c.current().decorators[stored.GetName()]; d != nil && d.version == stored.GetVersion() {
		return d.decorator
	}
	return c.compiler.Decorator(stored)
}

// maxAhead bounds the schemas that are compiled before calls need them. One takes
// several KiB and a part of a millisecond, and of thousands of services few are
// called.
const maxAhead = 256

// Start starts a goroutine that follows the mirror and compiles schemas before
// calls need them, a limited number of them. Without it, or until it has compiled
// them, a call waits for the schemas of its own service only.
func (c *Catalog) Start() {
	c.running.Go(func() {
		for c.down.Err() == nil {
			changed := c.cfg.Mirror.Changed()
			c.compile(c.current())
			select {
			case <-changed:
			case <-c.down.Done():
			}
		}
	})
}

// Close stops the goroutine that Start started and waits for it.
func (c *Catalog) Close() {
	c.stop()
	c.running.Wait()
}

// compile compiles schemas that services use, and logs once why a service cannot
// be called.
func (c *Catalog) compile(v *view) {
	ahead := make(map[*attached]bool, maxAhead)
	for _, service := range slices.Sorted(maps.Keys(v.entries)) {
		all := []*attached{v.entries[service].types}
		for _, name := range v.entries[service].Service.GetRevision().GetDecorators() {
			all = append(all, v.decorators[name])
		}
		for _, d := range all {
			if d == nil || !d.decorator.HasSchema() || ahead[d] {
				continue
			}
			if ahead[d] = true; len(ahead) > maxAhead {
				return
			}
			if d.told {
				continue
			}
			err := d.decorator.Ready(c.down)
			if c.down.Err() != nil {
				return
			}
			d.told = true
			if err != nil {
				c.log.Error("services with this schema cannot be called", "decorator", d.decorator.GetName(), "service", service,
					"reason", fault.ReasonOf(err), "error", err, "fix", fault.FromError(err).Fix)
			}
		}
	}
}

func (c *Catalog) next(old *view, snap *mirror.Snapshot) *view {
	if old == nil {
		old = &view{}
	}
	v := &view{
		snapshot:   snap,
		entries:    make(map[string]*Entry, len(snap.Services)),
		decorators: make(map[string]*attached, len(snap.Decorators)),
		plans:      maps.Clone(old.live),
		live:       make(map[string]*runnerv1.Plan, len(snap.Services)),
	}
	if v.plans == nil {
		v.plans = make(map[string]*runnerv1.Plan, len(snap.Services))
	}
	for name, d := range snap.Decorators {
		if was := old.decorators[name]; was != nil && was.version == d.GetVersion() {
			v.decorators[name] = was
			continue
		}
		v.decorators[name] = &attached{version: d.GetVersion(), decorator: c.compiler.Decorator(d)}
	}
	kept := 0
	for name, s := range snap.Services {
		was := old.entries[name]
		if was != nil {
			kept++
		}
		e := c.entry(v, was, s)
		v.entries[name] = e
		if e.err == nil {
			v.plans[e.PlanID] = e.Plan
			v.live[e.PlanID] = e.Plan
		}
	}
	v.routes = c.routes(snap.Services)
	if c.cfg.Forget != nil && kept < len(old.entries) {
		for name := range old.entries {
			if v.entries[name] == nil {
				c.cfg.Forget(name)
			}
		}
	}
	return v
}
