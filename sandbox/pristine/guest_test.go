package pristine

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// Instructions that the guest needs and wasmtest does not name.
var (
	memorySize = w.Ops(0x3f, 0)
	memoryGrow = w.Ops(0x40, 0)
	memoryFill = w.Ops(0xfc, 0x0b, 0)
	memoryCopy = w.Ops(0xfc, 0x0a, 0, 0)
	i64Store   = w.Ops(0x37, 0, 0)
	i64Store8  = w.Ops(0x3c, 0, 0)
)

func localGet(n byte) []byte { return w.Ops(0x20, n) }
func localTee(n byte) []byte { return w.Ops(0x22, n) }

// guestWasm returns a module of minimum to maximum pages, with some data and
// with functions that write in every possible way. scatter writes n bytes all
// over the memory and calls env.tick after each.
func guestWasm(minimum, maximum int64) []byte {
	m := w.New()
	tick := m.Import("env", "tick", ">")
	m.Memory(minimum, maximum)
	m.Data(0, []byte("data of the module"))
	m.Data(WasmPage-4, []byte("edge"))
	m.Export("store", m.Func("iI>", localGet(0), localGet(1), i64Store))
	m.Export("fill", m.Func("iii>", localGet(0), localGet(1), localGet(2), memoryFill))
	m.Export("copy", m.Func("iii>", localGet(0), localGet(1), localGet(2), memoryCopy))
	m.Export("grow", m.Func("i>i", localGet(0), memoryGrow))
	m.Export("trap", m.Func("iI>", localGet(0), localGet(1), i64Store, w.Unreachable()))
	m.Export("scatter", m.Func("Ii>",
		w.Ops(0x03, 0x40), // loop
		localGet(0), w.I64(6364136223846793005), w.Ops(0x7e), w.I64(1442695040888963407), w.Ops(0x7c), localTee(0),
		w.I64(33), w.Ops(0x88, 0xa7), memorySize, w.I32(16), w.Ops(0x74, 0x70), // (x >> 33) % (size << 16)
		localGet(0), i64Store8,
		w.Call(tick),
		localGet(1), w.I32(1), w.Ops(0x6b), localTee(1), // --n
		w.Ops(0x0d, 0, 0x0b), // br_if, end
	))
	return m.Bytes()
}

var errAborted = errors.New("aborted")

// guest is an instance of the module over an image.
type guest struct {
	t      testing.TB
	rng    *rand.Rand
	module api.Module
	m      *Memory
	ticks  int // until tick does something
	fate   int
}

type guestKey struct{}

// tick is the host function: sometimes it writes to the guest, ends the call or
// lets it grow.
func tick(ctx context.Context, module api.Module) {
	g := ctx.Value(guestKey{}).(*guest)
	if g.ticks--; g.ticks > 0 {
		return
	}
	g.ticks = 1 + g.rng.IntN(100)
	switch g.fate {
	case 0:
		panic(errAborted)
	case 1:
		module.Memory().Grow(1)
	default:
		size := module.Memory().Size()
		module.Memory().Write(uint32(g.rng.Uint64N(uint64(size-500))), make([]byte, g.rng.IntN(500)))
	}
}

func newRuntime(t testing.TB, config wazero.RuntimeConfig) wazero.Runtime {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), config)
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if _, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(tick).Export("tick").Instantiate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func compile(t testing.TB, r wazero.Runtime, wasm []byte) wazero.CompiledModule {
	t.Helper()
	c, err := r.CompileModule(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func instantiate(t testing.TB, r wazero.Runtime, c wazero.CompiledModule, m *Memory) api.Module {
	t.Helper()
	module, err := r.InstantiateModule(experimental.WithMemoryAllocator(t.Context(), m), c, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := module.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return module
}

// imageOf starts a template, makes it write and grow, and takes an image of it.
func imageOf(t testing.TB, r wazero.Runtime, c wazero.CompiledModule, limit uint64, config Config) (*Image, []byte) {
	t.Helper()
	m, err := NewTemplateMemory(limit)
	if err != nil {
		t.Fatal(err)
	}
	module := instantiate(t, r, c, m)
	call(t, module, "store", WasmPage/2, 0x0123456789abcdef)
	call(t, module, "grow", 1)
	call(t, module, "store", WasmPage+100, 42)
	mem := append([]byte(nil), m.Bytes()...)
	image := newImage(t, m.Bytes(), config)
	if err := module.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return image, mem
}

func call(t testing.TB, module api.Module, name string, args ...uint64) {
	t.Helper()
	if _, err := module.ExportedFunction(name).Call(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

// round is one call of a real guest. Some calls end early.
func (g *guest) round() {
	g.ticks, g.fate = 1+g.rng.IntN(60), g.rng.IntN(6)
	ctx := context.WithValue(context.Background(), guestKey{}, g)
	size := uint64(g.module.Memory().Size())
	anywhere := func() uint64 { return g.rng.Uint64N(size - 8) }
	name, args := "scatter", []uint64{g.rng.Uint64(), uint64(1 + g.rng.IntN(80))}
	switch g.rng.IntN(6) {
	case 0:
		name, args = "store", []uint64{anywhere(), g.rng.Uint64()}
	case 1:
		at := anywhere()
		name, args = "fill", []uint64{at, uint64(g.rng.IntN(256)), g.rng.Uint64N(size - at)}
	case 2:
		at := anywhere()
		name, args = "copy", []uint64{at, anywhere(), g.rng.Uint64N(9000)} // traps if it is too long
	case 3:
		name, args = "trap", []uint64{anywhere(), 1}
	}
	g.m.Begin()
	defer g.m.End()
	if g.rng.IntN(4) == 0 { // an input
		g.module.Memory().Write(uint32(anywhere()), []byte("inputinp"))
	}
	if g.rng.IntN(4) == 0 {
		if _, err := g.module.ExportedFunction("grow").Call(ctx, g.rng.Uint64N(4)); err != nil {
			g.t.Fatal(err)
		}
	}
	_, err := g.module.ExportedFunction(name).Call(ctx, args...)
	if err != nil && name != "trap" && name != "copy" && !errors.Is(err, errAborted) {
		g.t.Fatal(err)
	}
}

// TestGuestsLeaveNothing runs a real module with every method of restoring, on
// several threads at the same time, with calls that are aborted anywhere.
func TestGuestsLeaveNothing(t *testing.T) {
	const limit = 6 * WasmPage
	configs := map[string]wazero.RuntimeConfig{"interpreter": wazero.NewRuntimeConfigInterpreter()}
	if methods(t)[0] == MethodHotSet { // on the systems that the compiler supports
		configs["compiler"] = wazero.NewRuntimeConfigCompiler()
	}
	for engine, config := range configs {
		for _, method := range methods(t) {
			t.Run(engine+"/"+method.String(), func(t *testing.T) {
				r := newRuntime(t, config)
				c := compile(t, r, guestWasm(1, limit/WasmPage+1))
				image, mem := imageOf(t, r, c, limit, Config{Method: method, Keep: 256 << 10})
				var wg sync.WaitGroup
				for n := range 3 {
					m := newMemory(t, image, limit)
					g := &guest{t: t, rng: rand.New(rand.NewPCG(uint64(n), 9)), m: m, module: instantiate(t, r, c, m)}
					wg.Go(func() {
						for range rounds(800) {
							if t.Failed() {
								return
							}
							g.round()
							restore(t, m, g.module.Memory())
							if int(g.module.Memory().Size()) != len(mem) {
								t.Errorf("the runtime says %d bytes, want %d", g.module.Memory().Size(), len(mem))
							}
							same(t, "after a restore", m.Bytes(), mem)
							checkHotSet(t, m)
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// TestGrowthReadsZero grows into pages that an earlier call wrote.
func TestGrowthReadsZero(t *testing.T) {
	const limit = 4 * WasmPage
	for _, method := range methods(t) {
		r := newRuntime(t, wazero.NewRuntimeConfig())
		c := compile(t, r, guestWasm(1, limit/WasmPage+1))
		image, mem := imageOf(t, r, c, limit, Config{Method: method})
		m := newMemory(t, image, limit)
		module := instantiate(t, r, c, m)
		for range 5 {
			m.Begin()
			call(t, module, "grow", 2)
			same(t, "the growth", m.Bytes()[len(mem):], make([]byte, 2*WasmPage))
			call(t, module, "fill", 0, 7, limit)
			m.End()
			if m.Peak() != limit {
				t.Errorf("peak %d", m.Peak())
			}
			restore(t, m, module.Memory())
			same(t, "after a restore", m.Bytes(), mem)
			if m.Peak() != uint64(len(mem)) || m.Refused() != 0 {
				t.Errorf("peak %d, refused %d after a restore", m.Peak(), m.Refused())
			}
		}
	}
}

// TestGuestExit closes the module in the middle of a call, as proc_exit does.
func TestGuestExit(t *testing.T) {
	r := wazero.NewRuntime(t.Context())
	defer r.Close(t.Context())
	exit := func(ctx context.Context, module api.Module) {
		if err := module.CloseWithExitCode(ctx, 3); err != nil {
			t.Error(err)
		}
		module.Memory().WriteByte(5, 5) // the address is still valid
	}
	if _, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(exit).Export("tick").Instantiate(t.Context()); err != nil {
		t.Fatal(err)
	}
	image := newImage(t, make([]byte, WasmPage), Config{})
	m := newMemory(t, image, 2*WasmPage)
	module := instantiate(t, r, compile(t, r, guestWasm(1, 3)), m)
	m.Begin()
	if _, err := module.ExportedFunction("scatter").Call(t.Context(), 1, 100); err == nil {
		t.Error("the call did not notice")
	}
	m.End()
	if _, err := m.Restore(module.Memory()); !errors.Is(err, errFreed) {
		t.Errorf("restored a memory without a module: %v", err)
	}
}

// TestMaximumWithoutRoom has a module whose maximum forbids what shrinking
// needs.
func TestMaximumWithoutRoom(t *testing.T) {
	r := newRuntime(t, wazero.NewRuntimeConfig())
	c := compile(t, r, guestWasm(1, 2))
	image := newImage(t, make([]byte, WasmPage), Config{})
	m := newMemory(t, image, 2*WasmPage)
	module := instantiate(t, r, c, m)
	restore(t, m, module.Memory())
	call(t, module, "grow", 1)
	if _, err := m.Restore(module.Memory()); err == nil {
		t.Error("it shrank")
	}
}
