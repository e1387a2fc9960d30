package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sandbox/pristine"
)

// instance is a module with a memory of its own. It serves one call at a time,
// and in most isolations many of them one after the other.
type instance struct {
	t       *Template
	ctx     context.Context // takes the instance to the host functions
	call    *call           // that it serves now
	memory  *pristine.Memory
	module  api.Module
	globals []api.MutableGlobal // as in the template's
	serve   api.Function        // ruedo_call or _start
	stack   stackOf             // of the function that runs
	lent    *stack              // what it runs on; nil where that is the runtime's own
	meter   meter
	kept    int64  // bytes that count in the engine's kept
	started bool   // initialize has run, or its result was put into the memory
	in      string // the export that runs, for messages

	inside  bool // between enter and leave
	long    bool // the function that runs counts among the guests of Turns
	turn    bool // it has its turn
	touched bool // pages came into memory since the function began
	cpu     time.Duration
	since   time.Duration // the thread's clock at enter
}

// instanceContext gives host functions the instance that calls them.
type instanceContext struct {
	context.Context
	i *instance
}

type instanceKey struct{}

func (c *instanceContext) Value(key any) any {
	if key == (instanceKey{}) {
		return c.i
	}
	return c.Context.Value(key)
}

func instanceOf(ctx context.Context) *instance { return ctx.Value(instanceKey{}).(*instance) }

func callOf(ctx context.Context) *call { return instanceOf(ctx).call }

// newInstance makes an instance over a memory, for a call that pays for it. On
// an error it is closed.
func (t *Template) newInstance(memory *pristine.Memory, c *call) (_ *instance, err error) {
	i := &instance{t: t, call: c, memory: memory, in: "its start"}
	i.ctx = &instanceContext{context.Background(), i}
	defer func() {
		if err != nil {
			i.close()
		}
	}()
	if i.lent, err = t.engine.stacks.take(); err != nil {
		return i, fmt.Errorf("%w: its stack: %w", errHostMemory, err)
	}
	err = guard(func() (err error) {
		ctx := experimental.WithMemoryAllocator(i.ctx, memory)
		i.module, err = t.engine.runtime.InstantiateModule(ctx, t.code.module, t.systemOf(i))
		return err
	})
	if err != nil {
		return i, err
	}
	if t.rewritten.Fuel != "" {
		fuel, ok := i.module.ExportedGlobal(t.rewritten.Fuel).(api.MutableGlobal)
		if !ok {
			return i, errors.New("the module has lost its fuel")
		}
		i.meter.fuel = fuel
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
	i.stack = newStackOf(i.serve)
}

// enter opens the window in which the guest runs: the goroutine stays on its
// thread, whose page faults and processor time are the guest's.
func (i *instance) enter() {
	if i.inside {
		return
	}
	i.inside = true
	i.memory.Begin()
	lockThread()
	i.since = threadCPU()
}

// leave closes the window: others may run, and the goroutine may move.
func (i *instance) leave() {
	if !i.inside {
		return
	}
	i.inside = false
	i.cpu += threadCPU() - i.since
	unlockThread()
	if i.memory.End() {
		i.touched = true
	}
}

// begin gives the instance a call.
func (i *instance) begin(c *call) {
	i.call = c
	i.cpu = 0
	i.memory.ForgetRefused()
	i.meter.start(i.t.sliceSize.Load(), c.limits.Fuel)
}

// initialize runs what comes before the first call: the module's own start, and
// of a function also _initialize and ruedo_warm, as far as there are any.
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
			i.stack = newStackOf(f)
			if _, err := i.run(f); err != nil {
				return err
			}
		}
	}
	i.stack = newStackOf(i.serve)
	i.started = true
	return nil
}

// answer runs the call itself and gives what the guest returned.
func (i *instance) answer() (status uint32, err error) {
	i.in = abi.ExportCall
	if i.t.report.Kind == Command {
		i.in = abi.ExportStart
	}
	status, err = i.run(i.serve)
	if i.overspent() && i.call.stopped == running {
		// By what it did since its last test.
		i.call.stopped = stopFuel
		if err == nil {
			err = errStopped
		}
	}
	return status, err
}

func (i *instance) run(f api.Function) (status uint32, err error) {
	i.stack.lend(i.lent)
	i.touched = false
	i.enter()
	var values [1]uint64
	err = guard(func() error { return f.CallWithStack(i.ctx, values[:]) })
	i.leave()
	if i.long {
		i.long = false
		i.t.engine.cfg.Turns.guests.Add(-1)
		i.pass()
	}
	if i.touched && i.lent != nil {
		i.lent.trim()
	}
	return uint32(values[0]), err
}

// restore puts memory and globals back to the template's snapshot. After an
// error the instance must not be used again.
func (i *instance) restore() (time.Duration, error) {
	for n, g := range i.globals {
		g.Set(i.t.globals[n])
	}
	cost, err := i.memory.Restore(i.module.Memory())
	return cost.Took, err
}

// rest makes an instance that was restored ready to wait: it keeps the pages that
// calls write, if those of all instances are not too many already.
func (i *instance) rest() error {
	if i.keep(int64(i.memory.Kept())) <= i.t.engine.cfg.MaxKept {
		return nil
	}
	i.keep(0)
	return i.memory.Trim()
}

// keep counts what the instance keeps, and gives what all keep. Mostly that is as
// much as after the call before, and nothing is shared between processors.
func (i *instance) keep(n int64) int64 {
	all := &i.t.engine.kept
	more := n - i.kept
	i.kept = n
	if more == 0 {
		return all.Load()
	}
	return all.Add(more)
}

// close frees everything. The call must have returned: the runtime does not
// survive a module that is closed while it runs.
func (i *instance) close() {
	i.keep(0)
	if i.module != nil {
		// The context is not used for anything but values.
		if err := guard(func() error { return i.module.Close(context.Background()) }); err != nil {
			i.t.engine.log.Error("closing an instance failed", "error", err)
		}
	}
	if err := i.memory.Close(); err != nil {
		i.t.engine.log.Error("freeing an instance's memory failed", "error", err)
	}
	i.t.engine.stacks.put(i.lent)
	i.lent = nil
}
