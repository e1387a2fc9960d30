package runner

import (
	"container/list"
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/exec"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/runner/internal/flight"
	"github.com/ruedo-dev/ruedo/runner/modules"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// plans is the table of plans that are ready, each with its template. Plans
// that nobody uses stay until there are too many; the one that was not used
// for longest goes first.
type plans struct {
	engine  *sandbox.Engine
	modules *modules.Cache
	maxIdle int
	loads   *flight.Group[*prepared]
	compile chan struct{} // slots: compiling takes all of a CPU

	mu    sync.Mutex
	table map[string]*prepared
	order *list.List // of *prepared, used last first
}

// prepared is a plan that is ready.
type prepared struct {
	id       string
	plan     *runnerv1.Plan
	template *sandbox.Template
	calls    atomic.Int64 // under way, where the plan bounds them

	// Guarded by plans.mu.
	uses int
	elem *list.Element
}

func newPlans(engine *sandbox.Engine, m *modules.Cache, maxIdle int) *plans {
	return &plans{
		engine:  engine,
		modules: m,
		maxIdle: maxIdle,
		loads:   flight.New[*prepared](),
		compile: make(chan struct{}, max(1, runtime.GOMAXPROCS(0))),
		table:   make(map[string]*prepared),
		order:   list.New(),
	}
}

// acquire gives a plan that is ready, getting ready first where it must: given
// is the plan where the caller has it, else src is asked. The plan stays until
// release.
func (p *plans) acquire(ctx context.Context, id string, given *runnerv1.Plan, src exec.Source) (*prepared, error) {
	retried := false
	for {
		if e := p.use(id); e != nil {
			return e, nil
		}
		_, joined, err := p.loads.Do(ctx, id, func(ctx context.Context) (*prepared, error) {
			return p.load(ctx, id, given, src)
		})
		if err != nil && joined && !retried && ctx.Err() == nil {
			// Whoever loaded had another source: this one may do better.
			retried = true
			continue
		}
		if err != nil {
			return nil, err
		}
		// It may be gone again under pressure; then it is loaded once more.
	}
}

func (p *plans) use(id string) *prepared {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.table[id]
	if e != nil {
		e.uses++
		p.order.MoveToFront(e.elem)
	}
	return e
}

func (p *plans) release(e *prepared) {
	p.mu.Lock()
	e.uses--
	p.mu.Unlock()
}

func (p *plans) load(ctx context.Context, id string, plan *runnerv1.Plan, src exec.Source) (*prepared, error) {
	if e := p.peek(id); e != nil {
		return e, nil // another flight has just ended
	}
	if plan == nil {
		var err error
		if plan, err = src.Plan(ctx, id); err != nil {
			return nil, err
		}
		if plan == nil {
			return nil, fault.New(fault.PlanNotFound, "the core gave no plan %s", id)
		}
	}
	wasm, err := p.modules.Get(ctx, plan.Module, plan.ModuleBytes, func(ctx context.Context) (io.ReadCloser, error) {
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
	l := plan.GetLimits()
	t, err := p.engine.Load(ctx, sandbox.Spec{
		Wasm: wasm,
		Limits: sandbox.Limits{
			Memory:  l.GetMemoryBytes(),
			Timeout: l.GetTimeout().AsDuration(),
			CPU:     l.GetCpuTime().AsDuration(),
			Input:   int64(l.GetInputBytes()),
			Output:  int64(l.GetOutputBytes()),
			Logs:    int64(l.GetLogBytes()),
		},
		Isolation: toSandbox(plan.GetIsolation()),
		Env:       plan.Env,
		Args:      plan.Args,
		Example:   plan.Example,
	})
	if err != nil {
		return nil, err
	}
	return p.add(ctx, &prepared{id: id, plan: plan, template: t})
}

func (p *plans) peek(id string) *prepared {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.table[id]
}

// add makes a plan known and lets go of idle ones that are too many.
func (p *plans) add(ctx context.Context, e *prepared) (*prepared, error) {
	var gone []*prepared
	p.mu.Lock()
	e.elem = p.order.PushFront(e)
	p.table[e.id] = e
	for elem := p.order.Back(); elem != nil && len(p.table) > p.maxIdle; {
		old := elem.Value.(*prepared)
		elem = elem.Prev()
		if old.uses == 0 && old != e {
			p.order.Remove(old.elem)
			delete(p.table, old.id)
			gone = append(gone, old)
		}
	}
	p.mu.Unlock()
	var errs []error
	for _, old := range gone {
		errs = append(errs, old.template.Close(ctx)) // at once: nobody uses it
	}
	return e, errors.Join(errs...)
}

// stop ends loads and takes no more.
func (p *plans) stop() { p.loads.Close() }

// close frees all templates, after stop and when no call is under way.
func (p *plans) close(ctx context.Context) error {
	p.mu.Lock()
	all := p.table
	p.table = make(map[string]*prepared)
	p.order.Init()
	p.mu.Unlock()
	var errs []error
	for _, e := range all {
		errs = append(errs, e.template.Close(ctx))
	}
	return errors.Join(errs...)
}
