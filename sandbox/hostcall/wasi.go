package hostcall

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// programName is the first argument of every guest.
const programName = "service"

// instantiateWASI instantiates WASI preview 1. What can take long is our own,
// because it must end with the call: polling, reading, writing. So is what is about
// files and sockets, which always reports that there are none: some of the runtime's
// functions panic if they are asked for the times of a stream.
func (h *Host) instantiateWASI(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(abi.WASIModule)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	own := map[string]func(*Guest, api.Memory, []uint64) uint32{"poll_oneoff": h.poll, "fd_read": fdRead, "fd_write": fdWrite}
	for name, t := range wasmbin.HostFunctions(abi.WASIModule) {
		f := own[name]
		if errno := nothingThere(name); errno != wasiOK {
			f = func(*Guest, api.Memory, []uint64) uint32 { return errno }
		}
		if f == nil {
			continue
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			stack[0] = uint64(f(enter(ctx), m.Memory(), stack))
		}), valueTypes(t.Params), valueTypes(t.Results)).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// nothingThere returns the error of a function that needs a file or a socket, or
// wasiOK.
func nothingThere(name string) uint32 {
	switch name {
	case "fd_close", "fd_renumber", "fd_fdstat_set_flags":
		// The streams outlive the call in an instance that is used again.
		return wasiNotsup
	case "fd_allocate", "fd_filestat_set_size", "fd_filestat_set_times", "proc_raise":
		return wasiNotsup
	case "fd_pread", "fd_pwrite":
		return wasiSpipe
	}
	if strings.HasPrefix(name, "path_") || strings.HasPrefix(name, "sock_") || strings.HasPrefix(name, "fd_prestat_") || name == "fd_readdir" {
		return wasiBadf
	}
	return wasiOK
}

func valueTypes(ts []wasmbin.ValType) []api.ValueType {
	var vs []api.ValueType
	for _, t := range ts {
		vs = append(vs, api.ValueType(t))
	}
	return vs
}

// System returns what a guest sees of the world besides the host functions: clocks,
// its arguments and its environment. No files and no sockets. Each instance needs
// [Guest.System] of it.
func (h *Host) System(args []string, env map[string]string) wazero.ModuleConfig {
	m := wazero.NewModuleConfig().
		WithName(""). // instances of one module may exist side by side
		WithStartFunctions().
		WithWalltime(wallClock, sys.ClockResolution(Tick)).
		WithNanotime(h.monotonic, sys.ClockResolution(Tick)).
		WithArgs(append([]string{programName}, args...)...)
	for _, k := range slices.Sorted(maps.Keys(env)) {
		m = m.WithEnv(k, env[k])
	}
	return m
}

// Tick is how coarse the clocks of a guest are: fine enough for timeouts and
// logs, too coarse to time the caches of the machine.
const Tick = 100 * time.Microsecond

// monotonic counts from when the host was made, so that it reveals nothing about the
// machine. It is never 0.
func (h *Host) monotonic() int64 { return int64(time.Since(h.born).Truncate(Tick) + Tick) }

func wallClock() (sec int64, nsec int32) {
	now := time.Now().Truncate(Tick)
	return now.Unix(), int32(now.Nanosecond())
}

// System connects what the runtime does on its own to the calls of the guest.
func (g *Guest) System(shared wazero.ModuleConfig) wazero.ModuleConfig {
	return shared.
		WithRandSource(random{g}).
		WithNanosleep(func(ns int64) { g.meter.HostCall(); g.meter.Sleep(time.Duration(ns)) }).
		WithOsyield(func() { g.meter.HostCall(); g.meter.Yield() })
}

// random is crypto/rand in pieces, so that a guest that asks for gigabytes can
// be stopped.
type random struct{ guest *Guest }

func (r random) Read(p []byte) (int, error) {
	p = p[:min(len(p), 64<<10)]
	r.guest.meter.Step(len(p))
	return rand.Read(p)
}
