package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/panics"
	"github.com/ruedo-dev/ruedo/sandbox/fuel"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall"
	"github.com/ruedo-dev/ruedo/sandbox/limit"
	"github.com/ruedo-dev/ruedo/sandbox/pristine"
	"github.com/ruedo-dev/ruedo/sandbox/stack"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// call is one call, in the instance that serves it.
type call struct {
	hostcall.Call
	fuel.Budget
	began time.Time
	cold  bool // it had to wait for a new instance
}

func (t *Template) newCall(ctx context.Context, req *Request) *call {
	c, l := &call{began: time.Now()}, &t.limits
	c.EndWith(ctx, c.began.Add(l.Timeout))
	c.CPU, c.Budget.Fuel, c.HostCalls = l.CPU, l.Fuel, limit.MaxHostCalls
	r := hostcall.Request{
		ID: req.ID, Caller: req.Caller, ContentType: req.ContentType, Input: req.Input, MaxOutput: l.Output, MaxLogs: l.Logs,
		Head: req.Head, HTTP: t.report.Kind == HTTP,
	}
	if r.HTTP {
		c.Long, r.MaxIdle = &fuel.Long{Every: limit.Minute, Turn: req.Turn, Grace: l.Grace}, l.Idle
	}
	if r.HTTP || req.Body != nil || req.Opener != nil {
		r.Exchange = stream.New(stream.Config{
			Context: context.WithoutCancel(ctx), Body: req.Body, Trailers: req.Trailers, MaxInput: l.Input, Responder: req.Responder, Opener: req.Opener,
		})
	}
	c.Call.Init(&r)
	return c
}

// endStreams ends what streams, after the guest has returned.
func (c *call) endStreams(failed bool) {
	if x := c.Exchange(); x != nil && failed {
		x.End(stream.ErrAborted)
	} else if x != nil {
		x.End(nil)
	}
}

// awaitStreams waits until nothing streams any more: an answer until it is read,
// or until the call's time is over, which is its error.
func (t *Template) awaitStreams(c *call) *fault.Error {
	x := c.Exchange()
	if x == nil {
		return nil
	}
	if c.Long != nil && c.Long.Turn != nil && x.Responds() {
		c.Long.Turn.Pause()
	}
	err, bug := x.Wait(c.Context, c.Deadline)
	if bug != nil {
		t.engine.log.Error("what streamed for a call panicked", "error", bug)
	}
	switch {
	case err == nil:
		return nil
	case bug != nil:
		return fault.Wrap(bug, fault.Internal, "internal error in the sandbox while the answer was sent")
	}
	return t.limits.Stopped(c.Over(), limit.Used{Time: time.Since(c.began), HTTP: true}, err)
}

// instance is a module with its own memory. It serves one call at a time and,
// in most isolations, many of them one after the other.
type instance struct {
	t       *Template
	ctx     context.Context // carries the meter and the guest to the host functions
	call    *call           // the call that it serves now
	memory  *pristine.Memory
	meter   *fuel.Meter
	guest   *hostcall.Guest
	module  api.Module
	globals []api.MutableGlobal // as in the template's
	serve   api.Function        // ruedo_call or _start
	stack   stack.Function      // of the running function
	own     *stack.Stack        // that the function runs on; nil if that is the runtime's
	result  [1]uint64           // of the last function

	retained int64  // bytes that count in the engine's retained
	started  bool   // initialize has run, or its result was put into the memory
	in       string // the running export, for messages
}

// newInstance creates an instance over a memory, for a call that pays for it.
// After an error it is closed.
func (t *Template) newInstance(memory *pristine.Memory, c *call, caller string) (_ *instance, err error) {
	i := &instance{t: t, memory: memory, in: "its start"}
	i.meter = fuel.NewMeter(fuel.Config{
		Slots: t.engine.cfg.CPUSlots, Slice: &t.slice, Window: memory,
		StackOverflow: func() bool { return i.stack.HeapSize() > int(t.limits.Stack) },
		SliceEnd:      func() { i.guest.SliceEnd() },
		Gone:          func() { i.guest.Hangup() },
	})
	i.guest = hostcall.NewGuest(i.meter, t.report.Kind == Command)
	i.ctx = hostcall.NewContext(fuel.NewContext(context.Background(), i.meter), i.guest)
	i.begin(c)
	defer func() {
		if err != nil {
			i.close()
		}
	}()
	if i.own, err = t.engine.stacks.Get(int(t.limits.Stack)); err != nil {
		return i, fmt.Errorf("%w: its stack: %w", errHostMemory, err)
	}
	err = panics.Try(func() (err error) {
		ctx := experimental.WithMemoryAllocator(i.ctx, memory)
		i.module, err = t.engine.runtime.InstantiateModule(ctx, t.code.Code(), i.guest.System(t.system, caller))
		return err
	})
	if err != nil {
		return i, err
	}
	if t.rewritten.Fuel != "" {
		counter, ok := i.module.ExportedGlobal(t.rewritten.Fuel).(api.MutableGlobal)
		if !ok {
			return i, errors.New("the module has lost its fuel")
		}
		i.meter.Attach(counter)
	}
	for _, g := range t.rewritten.Globals {
		global, ok := i.module.ExportedGlobal(g.Name).(api.MutableGlobal)
		if !ok {
			return i, fmt.Errorf("the module has lost its global %s", g.Name)
		}
		i.globals = append(i.globals, global)
	}
	i.ready()
	return i, nil
}

// ready looks up the function that calls run.
func (i *instance) ready() {
	name := abi.ExportCall
	if i.t.report.Kind == Command {
		name = abi.ExportStart
	}
	i.serve = i.module.ExportedFunction(name)
	i.stack = stack.Of(i.serve)
}

// begin starts a call in the instance.
func (i *instance) begin(c *call) {
	i.call = c
	i.memory.ForgetRefused()
	i.guest.Start(&c.Call)
	i.meter.Start(&c.Budget)
}

// end forgets the call.
func (i *instance) end() {
	i.call = nil
	i.guest.End()
	i.meter.End()
}

// initialize runs what precedes the first call: the module's own start function
// and, for a function guest, _initialize and ruedo_warm if they exist.
func (i *instance) initialize() error {
	for _, name := range []string{i.t.rewritten.Start, abi.ExportInitialize, abi.ExportWarm} {
		if name == "" || i.t.report.Kind == Command && name != i.t.rewritten.Start {
			continue
		}
		if f := i.module.ExportedFunction(name); f != nil {
			i.in = name
			if name == i.t.rewritten.Start {
				i.in = "its start function"
			}
			i.stack = stack.Of(f)
			if _, err := i.run(f); err != nil {
				return err
			}
		}
	}
	i.stack = stack.Of(i.serve)
	i.started = true
	return nil
}

// answer runs the call itself and returns what the guest returned.
func (i *instance) answer() (status uint32, err error) {
	i.in = abi.ExportCall
	if i.t.report.Kind == Command {
		i.in = abi.ExportStart
	}
	status, err = i.run(i.serve)
	return status, i.meter.Settle(err)
}

func (i *instance) run(f api.Function) (status uint32, err error) {
	i.stack.Use(i.own)
	i.meter.Enter()
	i.result[0] = 0
	err = panics.Try(func() error { return f.CallWithStack(i.ctx, i.result[:]) })
	if touched := i.meter.Exit(); touched && i.own != nil {
		i.own.Trim()
	}
	return uint32(i.result[0]), err
}

// restore brings memory and globals back to the template's snapshot. After an
// error the instance must not be used again.
func (i *instance) restore() (time.Duration, error) {
	for n, g := range i.globals {
		g.Set(i.t.globals[n])
	}
	cost, err := i.memory.Restore(i.module.Memory())
	return cost.Took, err
}

// park prepares a restored instance for waiting: it retains the pages that
// calls write, unless all instances together already retain too much.
func (i *instance) park() error {
	if i.retain(int64(i.memory.Kept())) <= i.t.engine.cfg.MaxRetainedBytes {
		return nil
	}
	i.retain(0)
	return i.memory.Trim()
}

// retain sets how many bytes the instance retains, and returns how many all
// instances do. Usually the number is the same as after the previous call, and
// no shared memory is written.
func (i *instance) retain(n int64) int64 {
	all := &i.t.engine.retained
	more := n - i.retained
	i.retained = n
	if more == 0 {
		return all.Load()
	}
	return all.Add(more)
}

// close frees everything. The call must have returned: the runtime does not
// survive a module that is closed while it runs.
func (i *instance) close() {
	i.retain(0)
	if i.module != nil {
		// The context is used only for its values.
		if err := panics.Try(func() error { return i.module.Close(context.Background()) }); err != nil {
			i.t.engine.log.Error("closing an instance failed", "error", err)
		}
	}
	if err := i.memory.Close(); err != nil {
		i.t.engine.log.Error("freeing an instance's memory failed", "error", err)
	}
	i.t.engine.stacks.Put(i.own)
	i.own = nil
}
