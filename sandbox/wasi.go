package sandbox

import (
	"context"
	"crypto/rand"
	"runtime"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// programName is the first argument of every guest.
const programName = "service"

// wasiModule instantiates WASI preview 1. What may take long is our own, because
// it must end with the call: polling, reading, writing. So is what is about files
// and sockets, which always says that there are none: some of the runtime's
// functions panic where they are asked for the times of a stream.
func (e *Engine) wasiModule(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(abi.WASIModule)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	own := map[string]func(*instance, api.Memory, []uint64) uint32{"poll_oneoff": e.poll, "fd_read": fdRead, "fd_write": fdWrite}
	for name, t := range wasmbin.HostFunctions(abi.WASIModule) {
		f := own[name]
		if errno := nothingThere(name); errno != wasiOK {
			f = func(*instance, api.Memory, []uint64) uint32 { return errno }
		}
		if f == nil {
			continue
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			i := instanceOf(ctx)
			i.call.checkpoint()
			stack[0] = uint64(f(i, m.Memory(), stack))
		}), valueTypes(t.Params), valueTypes(t.Results)).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// nothingThere is the error of a function that needs a file or a socket.
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

// system is what a guest sees of the world besides the host functions: clocks,
// randomness, its environment. No files and no sockets.
func (e *Engine) system(spec Spec) wazero.ModuleConfig {
	m := wazero.NewModuleConfig().
		WithName(""). // instances of one module may exist side by side
		WithStartFunctions().
		WithWalltime(wallClock, sys.ClockResolution(tick)).
		WithNanotime(e.monotonic, sys.ClockResolution(tick)).
		WithArgs(append([]string{programName}, spec.Args...)...)
	for _, k := range sortedKeys(spec.Env) {
		m = m.WithEnv(k, spec.Env[k])
	}
	return m
}

// tick is how coarse the clocks of a guest are: fine enough for timeouts and
// logs, too coarse to time the caches of the machine.
const tick = 100 * time.Microsecond

// monotonic counts from the engine's start, so that it says nothing about the
// machine. It is never 0.
func (e *Engine) monotonic() int64 { return int64(time.Since(e.born).Truncate(tick) + tick) }

func wallClock() (sec int64, nsec int32) {
	now := time.Now().Truncate(tick)
	return now.Unix(), int32(now.Nanosecond())
}

// systemOf connects what the runtime does by itself to the calls that an
// instance will serve.
func (t *Template) systemOf(i *instance) wazero.ModuleConfig {
	return t.system.
		WithRandSource(random{i}).
		WithNanosleep(func(ns int64) { i.call.checkpoint(); i.sleep(time.Duration(ns)) }).
		WithOsyield(func() { i.call.checkpoint(); i.yield() })
}

// yield lets others run.
func (i *instance) yield() {
	i.leave()
	runtime.Gosched()
	i.enter()
}

// sleep ends the call if that ends first. The thread is not held meanwhile.
func (i *instance) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	i.leave()
	i.pass()
	c, why := i.call, running
	if left := time.Until(c.deadline); left <= d {
		d, why = left, stopTimeout
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
		why = c.end(c.ctx.Err())
	}
	if why != running {
		c.stop(why)
	}
	i.enter()
}

// random is crypto/rand in pieces, so that a guest that asks for gigabytes can
// be stopped.
type random struct{ i *instance }

func (r random) Read(p []byte) (int, error) {
	p = p[:min(len(p), 64<<10)]
	r.i.call.step(len(p))
	return rand.Read(p)
}
