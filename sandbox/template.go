package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/inflight"
	"github.com/ruedo-dev/ruedo/sandbox/code"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
	"github.com/ruedo-dev/ruedo/sandbox/fuel"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/wasi"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
	"github.com/ruedo-dev/ruedo/sandbox/limit"
	"github.com/ruedo-dev/ruedo/sandbox/pristine"
)

// Template is a loaded module, ready for calls.
type Template struct {
	engine    *Engine
	code      *code.Module
	rewritten *instrument.Result
	system    *wasi.System
	limits    Limits
	report    Report
	inflight  inflight.Group // calls
	pool      pool
	once      sync.Once // of free
	freed     error     // its error

	// image is the memory that an instance begins with: after the start or, if
	// that state cannot be reused, with only the module's data.
	image   *pristine.Image
	globals []uint64 // their values in the snapshot, in the order of rewritten.Globals
	// started reports whether image and globals are from after the start.
	started bool
	slice   fuel.Slice
}

// Load admits a module, instruments and compiles it, starts it once, and takes
// the snapshot that calls begin with. With an example, it is called a few times
// before and after that. All errors are [*fault.Error]. It ends with ctx.
func (e *Engine) Load(ctx context.Context, spec Spec) (*Template, error) {
	if !e.inflight.Enter() {
		return nil, closedError("engine")
	}
	defer e.inflight.Leave()
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	limits, idle := spec.Limits.WithDefaults(), e.cfg.MaxIdle
	module, done := e.modules.Rewrite(spec.Wasm, limits.Memory)
	defer done()
	if module.Failure != nil {
		failure := *module.Failure
		return nil, &failure
	}
	info, rewritten := module.Info, module.Result
	if info.Kind == HTTP {
		limits = spec.Limits.WithHTTPDefaults()
		idle *= 8 // many of its calls wait at the same time
	}
	compiling := time.Now()
	compiled, failure := e.modules.Load(ctx, rewritten.Wasm, compile.BudgetFor(spec.Compiled))
	if failure != nil {
		return nil, failure
	}
	took := time.Since(compiling)
	isolation, why := isolate(info.Kind, spec.Isolation, rewritten.Reasons)
	t := &Template{
		engine:    e,
		code:      compiled,
		rewritten: &rewritten,
		system:    wasi.NewSystem(spec.Args, spec.Env),
		limits:    limits,
		report:    Report{Kind: info.Kind, Isolation: isolation, IsolationReason: why, Compile: took, Imports: info.Imports},
		pool:      pool{limit: idle},
	}
	if err := t.prepare(ctx, t.examples(spec)); err != nil {
		if ferr := t.free(context.WithoutCancel(ctx)); ferr != nil {
			e.log.Error("freeing a module that cannot be started failed", "error", ferr)
		}
		return nil, err
	}
	// The image has what instances need of them.
	rewritten.Wasm, rewritten.Segments = nil, nil
	e.quiet.Reset(quietAfter) // loading leaves several times the module's size as garbage
	e.mu.Lock()
	e.templates[t] = struct{}{}
	e.mu.Unlock()
	return t, nil
}

func checkSpec(spec Spec) error {
	switch spec.Isolation {
	case "", Pristine, Shared, Fresh, PerCall:
	default:
		return fault.New(fault.RequestInvalid, "unknown isolation %q", spec.Isolation).WithFix("use pristine, shared or fresh")
	}
	if what := wasi.Refused(spec.Args, spec.Env); what != "" {
		return fault.New(fault.RequestInvalid, "%s cannot be passed to a service", what).
			WithFix("names must not be empty or contain =, and neither names nor values nor arguments may contain NUL")
	}
	return nil
}

// Report returns what Load learned about the module.
func (t *Template) Report() Report {
	r := t.report
	r.Imports = slices.Clone(r.Imports)
	return r
}

// Call runs the module once. It is safe for concurrent use; the caller must bound
// how many run at a time. The result's logs, memory and times are set even if the
// call failed. All errors are [*fault.Error].
func (t *Template) Call(ctx context.Context, req Request) (Result, error) {
	if !t.inflight.Enter() {
		return Result{}, closedError("template")
	}
	defer t.inflight.Leave()
	if n := int64(len(req.Input)); n > t.limits.Input {
		return Result{}, t.limits.InputOver(n)
	}
	c := t.newCall(ctx, &req)
	if err := ctx.Err(); err != nil {
		return Result{}, t.notRun(c, err)
	}
	i, err := t.instance(c, req.Caller)
	status := uint32(0)
	if err == nil {
		i.begin(c)
		if !i.started {
			err = i.initialize()
		}
		if err == nil {
			status, err = i.answer()
		}
	}
	return t.finish(i, status, err)
}

// instance returns an instance for a call: an idle one, or a new one.
func (t *Template) instance(c *call, caller string) (*instance, error) {
	if i := t.pool.get(); i != nil {
		return i, nil
	}
	c.cold = true
	memory, err := t.image.NewMemory(t.maxMemory())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errHostMemory, err)
	}
	i, err := t.newInstance(memory, c, caller)
	if err == nil && t.started {
		for n, g := range i.globals {
			g.Set(t.globals[n])
		}
		i.started = true
	}
	return i, err
}

// errHostMemory means that the host, not the guest, has no memory left.
var errHostMemory = errors.New("no memory for an instance")

// finish returns the result of a call and puts its instance away.
func (t *Template) finish(i *instance, status uint32, err error) (Result, error) {
	if i == nil {
		return Result{}, t.noMemory(err)
	}
	c := i.call
	c.Finish(status, err)
	res := Result{
		Logs:        c.Logs(),
		LogsDropped: c.LogsDropped(),
		Memory:      i.memory.Peak(),
		ExitCode:    exitCode(err),
		Duration:    time.Since(c.began),
		CPU:         i.meter.CPU(),
		Fuel:        i.meter.Fuel(),
		Cold:        c.cold,
	}
	failure := t.classify(i, status, err, res.Duration)
	if c.Left() && failure != nil && failure.Reason != fault.Internal {
		failure = t.limits.Stopped(fuel.StopCanceled, limit.Used{Time: res.Duration}, failure)
	}
	if failure == nil || t.report.Kind == Command && failure.Reason == fault.GuestExit {
		res.Output, res.ContentType = c.Output, c.ContentType
		res.Head, res.Trailers = c.Answer()
	}
	res.Streamed = c.Streamed()
	c.endStreams(failure != nil)
	if max(c.InputSize(), cap(c.Output)) > large {
		t.engine.quiet.Reset(quietAfter)
	}
	res.Restore = t.putAway(i, err, failure)
	// Not earlier: the instance serves others while the last bytes are read.
	if failure = cmp.Or(failure, t.awaitStreams(c)); failure != nil {
		return res, failure
	}
	return res, nil
}

// maxHeapStack is how large a stack on Go's heap can be that an instance retains.
const maxHeapStack = 1 << 20

// putAway prepares an instance for its next call, or closes it if it cannot
// serve another one.
func (t *Template) putAway(i *instance, err error, failure *fault.Error) time.Duration {
	keep := i.module != nil && !i.module.IsClosed()
	if failure != nil && failure.Reason == fault.Internal {
		keep = false // a bug in the host can have left anything behind
	}
	var took time.Duration
	switch {
	case !keep:
	case t.report.Isolation == Shared:
		// What a stopped call left behind is neither of before nor of after.
		keep = err == nil
	case t.report.Isolation == Pristine:
		var rerr error
		if took, rerr = i.restore(); rerr == nil {
			rerr = i.park()
		}
		if rerr != nil {
			t.engine.log.Warn("an instance could not be restored and is thrown away", "error", rerr)
			keep = false
		}
	default:
		keep = false
	}
	if keep && (err != nil || i.stack.HeapSize() > maxHeapStack) {
		// A function that did not return is not reusable, and a stack of the runtime
		// that grew stays large.
		i.ready()
	}
	i.end()
	if !keep || !t.pool.put(i) {
		i.close()
	}
	return took
}

// Close waits for the calls in flight and frees the instances and the compiled
// code. If ctx ends sooner, it returns ctx's error and can be called again.
// Later calls fail with [ErrClosed].
func (t *Template) Close(ctx context.Context) error {
	if err := t.inflight.Wait(ctx); err != nil {
		return fmt.Errorf("calls are still running: %w", err)
	}
	t.once.Do(func() {
		t.freed = t.free(context.WithoutCancel(ctx))
		// Not earlier: the engine waits for the templates that it finds.
		t.engine.mu.Lock()
		delete(t.engine.templates, t)
		t.engine.mu.Unlock()
	})
	return t.freed
}

// free frees everything. No call is in flight.
func (t *Template) free(ctx context.Context) error {
	for _, i := range t.pool.close() {
		i.close()
	}
	var err error
	if t.image != nil {
		err = t.image.Close()
	}
	// The runtime unmaps native code when the collector finds that it is garbage.
	t.engine.quiet.Reset(quietAfter)
	return errors.Join(err, t.code.Release(ctx))
}
