package sandbox

import (
	"context"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// instance is one run of a module, with a memory of its own. It serves one
// call.
type instance struct {
	t      *Template
	call   *call
	memory *memory
	module api.Module
	in     string // the export that runs, for messages
}

// newInstance does not run anything yet. close must be called.
func (t *Template) newInstance(c *call) *instance {
	return &instance{t: t, call: c, memory: &memory{limit: t.limits.Memory}}
}

// begin makes the instance ready for its call: it runs the start function,
// _initialize and ruedo_warm, as far as there are any.
func (i *instance) begin(ctx context.Context) error {
	i.in = "its start function"
	return guard(func() (err error) {
		ctx := experimental.WithMemoryAllocator(withCall(ctx, i.call), i.memory)
		i.module, err = i.t.engine.runtime.InstantiateModule(ctx, i.t.compiled, streams(i.t.system, i.t.report.Kind, i.call))
		if err != nil || i.t.report.Kind == Command {
			return err
		}
		for _, name := range []string{abi.ExportInitialize, abi.ExportWarm} {
			if _, err := i.run(ctx, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// serve runs the call itself and gives what the guest returned.
func (i *instance) serve(ctx context.Context) (status uint32, err error) {
	err = guard(func() error {
		ctx := withCall(ctx, i.call)
		name := abi.ExportCall
		if i.t.report.Kind == Command {
			name = abi.ExportStart
		}
		status, err = i.run(ctx, name)
		return err
	})
	return status, err
}

// run calls an export, if there is one.
func (i *instance) run(ctx context.Context, name string) (uint32, error) {
	f := i.module.ExportedFunction(name)
	if f == nil {
		return 0, nil
	}
	i.in = name
	var stack [1]uint64
	err := f.CallWithStack(ctx, stack[:])
	return uint32(stack[0]), err
}

// close frees everything. The call must have returned: the runtime does not
// survive a module that is closed while it runs.
func (i *instance) close() {
	i.call.out.flush()
	i.call.err.flush()
	i.call.logs.finish()
	if i.module != nil {
		// The context is not used for anything but values.
		if err := guard(func() error { return i.module.Close(context.Background()) }); err != nil {
			i.t.engine.log.Error("closing an instance failed", "error", err)
		}
	}
	i.memory.release()
}
