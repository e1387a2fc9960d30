package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
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

// wasiModule instantiates WASI preview 1. poll_oneoff is our own: it must end
// with the call, and the runtime's panics on a count that overflows. What is
// about files and sockets always says that there are none: some of the
// runtime's functions panic where they are asked for the times of a stream.
func (e *Engine) wasiModule(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(abi.WASIModule)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	const i = api.ValueTypeI32
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
		c := callOf(ctx)
		c.checkpoint()
		stack[0] = uint64(e.poll(c, m.Memory(), arg(stack, 0), arg(stack, 1), arg(stack, 2), arg(stack, 3)))
	}), []api.ValueType{i, i, i, i}, []api.ValueType{i}).Export("poll_oneoff")
	for name, t := range wasmbin.HostFunctions(abi.WASIModule) {
		if errno := nothingThere(name); errno != wasiOK {
			b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
				callOf(ctx).checkpoint()
				stack[0] = uint64(errno)
			}), valueTypes(t.Params), valueTypes(t.Results)).Export(name)
		}
	}
	_, err := b.Instantiate(ctx)
	return err
}

// nothingThere is the error of a function that needs a file or a socket.
func nothingThere(name string) uint32 {
	switch name {
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
		WithSysWalltime().
		WithNanotime(e.monotonic, sys.ClockResolution(1)).
		WithArgs(append([]string{programName}, spec.Args...)...)
	for _, k := range sortedKeys(spec.Env) {
		m = m.WithEnv(k, spec.Env[k])
	}
	return m
}

// monotonic counts from the engine's start, so that it says nothing about the
// machine.
func (e *Engine) monotonic() int64 { return int64(time.Since(e.born)) + 1 }

// streams connects a call to an instance's world.
func streams(m wazero.ModuleConfig, kind Kind, c *call) wazero.ModuleConfig {
	m = m.WithStderr(&c.err).
		WithRandSource(random{c}).
		WithNanosleep(func(ns int64) { c.sleep(time.Duration(ns)) }).
		WithOsyield(func() { c.checkpoint(); runtime.Gosched() })
	if kind == Command {
		return m.WithStdin(stdin{c}).WithStdout(stdout{c})
	}
	return m.WithStdin(bytes.NewReader(nil)).WithStdout(&c.out)
}

// sleep ends the call if that ends first.
func (c *call) sleep(d time.Duration) {
	c.checkpoint()
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
		panic(errStopped)
	}
}

// stdin gives a command its input.
type stdin struct{ c *call }

func (s stdin) Read(p []byte) (int, error) {
	s.c.checkpoint()
	if len(s.c.input) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.c.input)
	s.c.input = s.c.input[n:]
	return n, nil
}

// stdout takes a command's output. WASI could only tell it of an error, and
// programs tend to ignore that: too much output ends the call.
type stdout struct{ c *call }

func (s stdout) Write(p []byte) (int, error) {
	s.c.checkpoint()
	if !s.c.write(p) {
		panic(errFlooded)
	}
	return len(p), nil
}

// random is crypto/rand in pieces, so that a guest that asks for gigabytes can
// be stopped.
type random struct{ c *call }

func (r random) Read(p []byte) (int, error) {
	r.c.checkpoint()
	return rand.Read(p[:min(len(p), 64<<10)])
}
