package hostcall

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/wasi"
)

// instantiateWASI instantiates WASI preview 1. Functions that can take long
// (polling, reading, writing) are implemented here, because they must end with
// the call. So are those for files and sockets, which report that there are none:
// some of the runtime's functions panic if they are asked for the times of a
// stream. Clocks 2 and 3 are the processor time of the guest.
func (h *Host) instantiateWASI(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(abi.WASIModule)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	own := fileFunctions()
	own["poll_oneoff"], own["fd_read"], own["fd_write"] = h.poll, fdRead, fdWrite
	own["fd_sync"], own["fd_datasync"], own["fd_fdstat_set_flags"] = fdSync, fdSync, setFlags
	own["sock_recv"], own["sock_send"], own["sock_shutdown"] = sockRecv, sockSend, sockShutdown
	for name, t := range wasmbin.HostFunctions(abi.WASIModule) {
		f := own[name]
		if errno := nothingThere(name); f == nil && errno != wasi.OK {
			f = func(g *Guest, _ api.Memory, _ []uint64) uint32 {
				g.call.absent.Sockets = g.call.absent.Sockets || errno == wasi.Badf
				return errno
			}
		}
		if f == nil {
			continue
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			stack[0] = uint64(f(enter(ctx), m.Memory(), stack))
		}), valueTypes(t.Params), valueTypes(t.Results)).Export(name)
	}
	h.exportClocks(b)
	_, err := b.Instantiate(ctx)
	return err
}

// exportClocks exports the functions for clocks. Reading the time costs so little
// that it is not counted.
func (h *Host) exportClocks(b wazero.HostModuleBuilder) {
	for name, f := range map[string]func(*Guest, api.Memory, []uint64) uint32{"clock_time_get": h.clockTime, "clock_res_get": clockResolution} {
		t := wasmbin.HostFunctions(abi.WASIModule)[name]
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			stack[0] = uint64(f(guestOf(ctx), m.Memory(), stack))
		}), valueTypes(t.Params), valueTypes(t.Results)).Export(name)
	}
}

// clockTime returns the time of a clock in nanoseconds.
func (h *Host) clockTime(g *Guest, mem api.Memory, stack []uint64) uint32 {
	var now int64
	switch arg(stack, 0) {
	case clockReal:
		now = h.Now().Truncate(Tick).UnixNano()
	case clockMono:
		now = h.monotonic()
	case clockProcess, clockThread:
		g.meter.HostCall()
		now = int64(g.meter.CPU().Truncate(Tick))
	default:
		return wasi.Inval
	}
	if !mem.WriteUint64Le(arg(stack, 2), uint64(now)) {
		return wasi.Fault
	}
	return wasi.OK
}

func clockResolution(_ *Guest, mem api.Memory, stack []uint64) uint32 {
	switch {
	case arg(stack, 0) > clockThread:
		return wasi.Inval
	case !mem.WriteUint64Le(arg(stack, 1), uint64(Tick)):
		return wasi.Fault
	}
	return wasi.OK
}

// nothingThere returns the error of a function that needs a file or a socket, or
// wasi.OK.
func nothingThere(name string) uint32 {
	switch name {
	case "fd_renumber":
		// The streams outlive the call if the instance is used again.
		return wasi.Notsup
	case "fd_allocate", "fd_filestat_set_size", "fd_filestat_set_times", "proc_raise":
		return wasi.Notsup
	case "fd_pread", "fd_pwrite":
		return wasi.Spipe
	}
	if strings.HasPrefix(name, "sock_") {
		return wasi.Badf
	}
	return wasi.OK
}

func valueTypes(ts []wasmbin.ValType) []api.ValueType {
	var vs []api.ValueType
	for _, t := range ts {
		vs = append(vs, api.ValueType(t))
	}
	return vs
}

// Tick is the resolution of a guest's clocks: fine enough for timeouts and
// logs, too coarse to time the machine's caches.
const Tick = 100 * time.Microsecond

// monotonic counts from the creation of the host, so that it reveals nothing
// about the machine. It is never 0.
func (h *Host) monotonic() int64 { return int64(time.Since(h.born).Truncate(Tick) + Tick) }

// System returns the configuration of an instance: what it can see of the template's
// system, and what the runtime does on its own, connected to the calls of the guest. A
// command, which starts with its call, also sees who calls.
func (g *Guest) System(s *wasi.System, caller string) wazero.ModuleConfig {
	if !g.command {
		caller = "" // it is in the head
	}
	return s.Config(caller).
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
