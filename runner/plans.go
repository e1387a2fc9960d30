package runner

import (
	"container/list"
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/runner/admission"
	"github.com/ruedo-dev/ruedo/runner/egress"
	"github.com/ruedo-dev/ruedo/runner/exchange"
	"github.com/ruedo-dev/ruedo/runner/internal/isolation"
	"github.com/ruedo-dev/ruedo/runner/internal/singleflight"
	"github.com/ruedo-dev/ruedo/runner/logs"
	"github.com/ruedo-dev/ruedo/runner/modules"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// plans is the table of ready plans, each with its template.
//
// A plan stays after its calls, because otherwise the next call would have to
// wait for it. It is closed when
//
//   - its service has used another plan since, and it had no call for a grace
//     period. So a rollback within it is instant, and cores that differ in
//     their revision for a moment do not make the runner load plans back and
//     forth;
//   - more than maxSuperseded such plans of one service wait for that;
//   - there are too many plans, or they hold too many bytes: superseded plans
//     go first, then the least recently used ones.
//
// A plan that is in use is never closed.
type plans struct {
	cfg     plansConfig
	loads   *singleflight.Group[*prepared]
	compile chan struct{} // slots: compiling takes a whole CPU
	stopped chan struct{}
	once    sync.Once // of closing stopped
	janitor sync.WaitGroup

	mu    sync.Mutex
	table map[string]*prepared
	order *list.List // of *prepared, most recently used first
	bytes int64      // of the plans themselves, without their templates
	// closed has what the last plan of a service needs on disk, if it was closed to
	// make room, by service.
	closed map[string]files
}

type plansConfig struct {
	engine    *sandbox.Engine
	modules   *modules.Cache
	egress    *egress.Egress
	unstarted func(plan *runnerv1.Plan, err error) error // makes the error of a plan that cannot be loaded
	maxPlans  int
	maxBytes  int64
	grace     time.Duration
	log       *slog.Logger
	logs      *logs.Logs
}

// dials is the import of a module that can ask for the network.
const dials = abi.HostModule + "." + abi.ImportStreamOpen

// maxSuperseded is how many superseded plans of one service stay for the grace
// period.
const maxSuperseded = 3

// prepared is a ready plan.
type prepared struct {
	id       string
	plan     *runnerv1.Plan
	template *sandbox.Template
	network  *egress.Policy // nil if the module never asks for the network
	files    files
	bytes    int64  // of plan
	of       *plans // the table that it belongs to
	log      *logs.Calls
	calls    admission.Concurrency

	// Guarded by plans.mu.
	uses   int
	served uint64 // how often it was used
	idle   uint64 // served + 1 when the janitor saw it superseded and unused; else 0
	elem   *list.Element
}

// newPlans returns an empty table and starts its janitor, which stop ends.
func newPlans(cfg plansConfig) *plans {
	p := &plans{
		cfg:     cfg,
		loads:   singleflight.New[*prepared](),
		compile: make(chan struct{}, max(1, runtime.GOMAXPROCS(0))),
		stopped: make(chan struct{}),
		table:   make(map[string]*prepared),
		order:   list.New(),
		closed:  make(map[string]files),
	}
	p.janitor.Go(p.tidy)
	return p
}

// tidy closes superseded plans when their grace period is over, until stop.
func (p *plans) tidy() {
	tick := time.NewTicker(p.cfg.grace)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.sweep()
		case <-p.stopped:
			return
		}
	}
}

// acquire returns a ready plan, after preparing it if necessary. req has the
// plan if the caller has it; otherwise acquire asks src. The plan stays until
// Release.
func (p *plans) acquire(ctx context.Context, req *runnerv1.PrepareRequest, src executor.Source) (*prepared, error) {
	retried := false
	for {
		if e := p.use(req.GetId()); e != nil {
			return e, nil
		}
		_, joined, err := p.loads.Do(ctx, req.GetId(), func(ctx context.Context) (*prepared, error) {
			return p.load(ctx, req, src)
		})
		if err != nil && joined && !retried && ctx.Err() == nil {
			// The caller that loaded had another source; this one can be better.
			retried = true
			continue
		}
		if err != nil {
			return nil, err
		}
		// It can be closed again if there is no room; then it is loaded once more.
	}
}

func (p *plans) use(id string) *prepared {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.table[id]
	if e != nil {
		e.uses++
		e.served++
		p.order.MoveToFront(e.elem)
	}
	return e
}

// close frees the template, and closes the connections of the plan.
func (e *prepared) close(ctx context.Context) error {
	if e.network != nil {
		e.network.Close()
	}
	return e.template.Close(ctx)
}

// Concurrency bounds the calls of the plan.
func (e *prepared) Concurrency() *admission.Concurrency { return &e.calls }

// Release ends one use of the plan.
func (e *prepared) Release() {
	e.of.mu.Lock()
	e.uses--
	e.of.mu.Unlock()
}

func (p *plans) load(ctx context.Context, req *runnerv1.PrepareRequest, src executor.Source) (*prepared, error) {
	id, plan := req.GetId(), req.GetPlan()
	if e := p.peek(id); e != nil {
		return e, nil // another flight has just ended
	}
	if plan == nil {
		var err error
		if plan, err = src.Plan(ctx, id); err != nil {
			return nil, err
		}
		if plan == nil {
			return nil, fault.New(fault.PlanNotFound, "the core sent no plan %s", id)
		}
	}
	network, err := p.cfg.egress.Policy(plan.GetEgress())
	if err != nil {
		return nil, err
	}
	wasm, err := p.cfg.modules.Get(ctx, plan.Module, plan.ModuleBytes, func(ctx context.Context) (io.ReadCloser, error) {
		return src.Module(ctx, plan.Module)
	})
	if err != nil {
		return nil, err
	}
	select {
	case p.compile <- struct{}{}:
		defer func() { <-p.compile }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t, err := p.cfg.engine.Load(ctx, sandbox.Spec{
		Wasm:      wasm,
		Limits:    SandboxLimits(plan.GetLimits()),
		Isolation: isolation.ToSandbox(plan.GetIsolation()),
		Env:       plan.Env,
		Args:      plan.Args,
		Example:   plan.Example,
		Examples:  exchange.Examples(plan),
		Compiled:  req.GetCompiled(),
	})
	if err != nil {
		return nil, p.cfg.unstarted(plan, err)
	}
	e := &prepared{
		id: id, plan: plan, template: t, files: files{plan.Module, t.CodeKey()}, bytes: int64(proto.Size(plan)), of: p,
		log:   p.cfg.logs.Calls("service", plan.Service, "revision", plan.Revision, "plan", short(id)),
		calls: admission.Concurrency{Limit: int64(plan.GetLimits().GetConcurrency())},
	}
	if slices.Contains(t.Report().Imports, dials) {
		e.network = network
	}
	p.add(e)
	return e, nil
}

// usage returns how many plans are in the table, and what they take.
func (p *plans) usage() (n int, bytes int64) {
	held := p.cfg.engine.Held().Bytes
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.table), held + p.bytes
}

func (p *plans) peek(id string) *prepared {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.table[id]
}

// add adds a plan to the table and makes room for it.
func (p *plans) add(e *prepared) {
	p.mu.Lock()
	e.elem = p.order.PushFront(e)
	p.table[e.id] = e
	p.bytes += e.bytes
	delete(p.closed, e.plan.Service)
	gone := p.superseded(maxSuperseded, func(*prepared) bool { return true })
	p.mu.Unlock()
	p.discard(gone)
	p.fit(e)
}

// sweep closes superseded plans that had no call since the previous sweep.
func (p *plans) sweep() {
	p.mu.Lock()
	gone := p.superseded(0, func(e *prepared) bool {
		was := e.idle
		e.idle = e.served + 1
		return was == e.idle
	})
	p.mu.Unlock()
	p.discard(gone)
	p.fit(nil)
}

// superseded removes plans that are not in use and for which over reports true,
// if their service has used more than keep other plans besides a newer one
// since. Called with p.mu held.
func (p *plans) superseded(keep int, over func(*prepared) bool) (gone []*prepared) {
	newer := make(map[string]int, len(p.table))
	var next *list.Element
	for elem := p.order.Front(); elem != nil; elem = next {
		next = elem.Next()
		e := elem.Value.(*prepared)
		n := newer[e.plan.Service]
		newer[e.plan.Service]++
		switch {
		case n == 0 || e.uses > 0:
			e.idle = 0
		case n > keep && over(e):
			p.remove(e)
			gone = append(gone, e)
		}
	}
	return gone
}

// fit closes plans until the rest is within the bounds, but never spare.
func (p *plans) fit(spare *prepared) {
	for {
		held := p.cfg.engine.Held().Bytes
		p.mu.Lock()
		var gone *prepared
		if len(p.table) > p.cfg.maxPlans || held+p.bytes > p.cfg.maxBytes {
			gone = p.leastNeeded(spare)
		}
		if gone != nil {
			p.remove(gone)
			p.remember(gone)
		}
		p.mu.Unlock()
		if gone == nil {
			return
		}
		p.discard([]*prepared{gone})
	}
}

// leastNeeded returns the plan to close next, or nil if all are in use: the
// least recently used superseded plan that is not in use or, if there is none,
// the least recently used plan that is not in use. Called with p.mu held.
func (p *plans) leastNeeded(spare *prepared) (least *prepared) {
	newer := make(map[string]bool, len(p.table))
	var old *prepared // superseded
	for elem := p.order.Front(); elem != nil; elem = elem.Next() {
		e := elem.Value.(*prepared)
		if e.uses == 0 && e != spare {
			least = e
			if newer[e.plan.Service] {
				old = e
			}
		}
		newer[e.plan.Service] = true
	}
	if old != nil {
		return old
	}
	return least
}

// remove removes a plan from the table. Called with p.mu held.
func (p *plans) remove(e *prepared) {
	p.order.Remove(e.elem)
	delete(p.table, e.id)
	p.bytes -= e.bytes
}

// discard closes plans that are neither in the table nor in use, which takes no
// time.
func (p *plans) discard(gone []*prepared) {
	for _, e := range gone {
		if err := e.close(context.Background()); err != nil {
			p.cfg.log.Error("a plan cannot be closed", "service", e.plan.Service, "plan", short(e.id), "error", err)
		}
	}
}

// stop ends the loads and stops accepting new ones.
func (p *plans) stop() {
	p.loads.Close()
	p.once.Do(func() { close(p.stopped) })
	p.janitor.Wait()
}

// close frees all templates. It is called after stop, when no call is in
// flight.
func (p *plans) close(ctx context.Context) error {
	p.mu.Lock()
	all := p.table
	p.table = make(map[string]*prepared)
	p.order.Init()
	p.mu.Unlock()
	var errs []error
	for _, e := range all {
		errs = append(errs, e.close(ctx))
	}
	return errors.Join(errs...)
}

// short returns enough of a plan's id for a log.
func short(id string) string { return id[:min(12, len(id))] }
