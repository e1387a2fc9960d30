package instrument_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// TestEverythingStops runs code that never ends on its own. refuel is called
// repeatedly, after a bounded amount of work, and a guest that was stopped
// stops again immediately.
func TestEverythingStops(t *testing.T) {
	loop := func(code ...[]byte) []byte { return w.Loop(code...) }
	long := func(n int) []byte { // straight code
		var b []byte
		for range n {
			b = w.Cat(b, []byte{0x20, 0, 0x41, 1, 0x6a, 0x21, 0})
		}
		return b
	}
	local := w.Vec([]byte{1, 0x7f})
	// The most that can be burnt beyond the given fuel: one piece of bulk memory,
	// or the length that a bulk instruction pays in advance.
	const piece, bulk = 300 << 10, 33 << 20
	for _, c := range []struct {
		name  string
		bound int64
		build func(m *w.Module) uint32
	}{
		{"empty loop", piece, func(m *w.Module) uint32 { return m.Func(">", loop()) }},
		{"loop in loops", piece, func(m *w.Module) uint32 { return m.Func(">", loop(loop(loop()))) }},
		{"long loop", piece, func(m *w.Module) uint32 { return m.FuncLocals(">", local, loop(long(3000))) }},
		{"loop with an if", piece, func(m *w.Module) uint32 {
			return m.FuncLocals(">", local, []byte{0x03, 0x40, 0x20, 0, 0x04, 0x40, 0x0c, 1, 0x05, 0x0c, 1, 0x0b, 0x0b})
		}},
		{"loop by br_table", piece, func(m *w.Module) uint32 {
			return m.FuncLocals(">", local, []byte{0x03, 0x40, 0x20, 0, 0x0e, 2, 0, 0, 0, 0x0b})
		}},
		{"loop of a value", piece, func(m *w.Module) uint32 {
			return m.Func(">", w.I32(1), []byte{0x03, byte(m.Type("i>i")), 0x0c, 0, 0x0b, 0x1a})
		}},
		{"recursion", piece, func(m *w.Module) uint32 { return m.Func(">", w.Call(0)) }},
		{"recursion of two", piece, func(m *w.Module) uint32 { m.Func(">", w.Call(1)); return m.Func(">", w.Call(0)) }},
		{"recursion through a table", piece, func(m *w.Module) uint32 {
			m.Table(1)
			m.Element(0)
			return m.Func(">", w.I32(0), []byte{0x11, 0, 0})
		}},
		{"recursion that forks", piece, func(m *w.Module) uint32 { return m.Func(">", w.Call(0), w.Call(0)) }},
		{"tail calls", piece, func(m *w.Module) uint32 { return m.Func(">", []byte{0x12, 0}) }},
		{"tail calls of two", piece, func(m *w.Module) uint32 { m.Func(">", []byte{0x12, 1}); return m.Func(">", []byte{0x12, 0}) }},
		{"tail calls through a table", piece, func(m *w.Module) uint32 {
			m.Table(1)
			m.Element(0)
			return m.Func(">", w.I32(0), []byte{0x13, 0, 0})
		}},
		{"loop of tail calls", piece, func(m *w.Module) uint32 {
			m.FuncLocals(">", local, long(100), []byte{0x12, 1})
			return m.Func(">", loop(w.Call(0)), []byte{0x12, 0})
		}},
		{"calls in a row", piece, func(m *w.Module) uint32 {
			m.FuncLocals(">", local, long(20))
			f := []byte{}
			for range 5000 {
				f = w.Cat(f, w.Call(0))
			}
			m.Func(">", f)
			return m.Func(">", loop(w.Call(1)))
		}},
		{"calls of leaves", piece, func(m *w.Module) uint32 {
			m.Func(">i", w.I32(0))
			f := []byte{}
			for range 5000 {
				f = w.Cat(f, w.Call(0), w.Drop())
			}
			m.Func(">", f)
			return m.Func(">", loop(w.Call(1)))
		}},
		{"memory.fill", piece, func(m *w.Module) uint32 {
			return m.Func(">", loop(w.I32(0), w.I32(1), w.I32(600*65536), []byte{0xfc, 11, 0}))
		}},
		{"memory.copy", piece, func(m *w.Module) uint32 {
			return m.Func(">", loop(w.I32(1), w.I32(0), w.I32(600*65536-1), []byte{0xfc, 10, 0, 0}))
		}},
		{"memory.copy forward", piece, func(m *w.Module) uint32 {
			return m.Func(">", loop(w.I32(0), w.I32(1), w.I32(600*65536-1), []byte{0xfc, 10, 0, 0}))
		}},
		{"small copies", piece, func(m *w.Module) uint32 {
			return m.FuncLocals(">", w.Vec([]byte{1, 0x7f}), loop(w.I32(1), w.I32(0), w.I32(4000), []byte{0x22, 0, 0x20, 0, 0xfc, 10, 0, 0}))
		}},
		{"table.fill", bulk, func(m *w.Module) uint32 {
			m.Table(100_000)
			return m.Func(">", loop(w.I32(0), []byte{0xd0, 0x70}, w.I32(100_000), []byte{0xfc, 17, 0}))
		}},
		{"table.copy", bulk, func(m *w.Module) uint32 {
			m.Table(100_000)
			return m.Func(">", loop(w.I32(0), w.I32(1), w.I32(99_999), []byte{0xfc, 14, 0, 0}))
		}},
		{"table.grow", bulk, func(m *w.Module) uint32 {
			m.Table(1)
			return m.Func(">", loop([]byte{0xd0, 0x70}, w.I32(1000), []byte{0xfc, 15, 0, 0x1a}))
		}},
		{"memory.grow", piece, func(m *w.Module) uint32 { return m.Func(">", loop(w.I32(1), []byte{0x40, 0, 0x1a})) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			const slice, limit = 50_000, 20_000_000
			h := newHost(t, slice)
			m := w.New()
			m.Memory(600, -1)
			f := c.build(m)
			m.Export("run", f)
			res := rewrite(t, m.Bytes(), instrument.Options{Meter: true, MemoryMaxPages: 700, TableMax: 100_000})
			in, err := h.instantiate(t.Context(), nil, res, wazero.NewModuleConfig())
			if err != nil {
				t.Fatal(err)
			}
			fuel := in.ExportedGlobal(res.Fuel).(api.MutableGlobal)
			h.limit = limit
			for range 2 {
				h.used, h.given[in] = 0, 0
				fuel.Set(0)
				began := time.Now()
				_, err = in.ExportedFunction("run").Call(t.Context())
				if err == nil || kind(err) != fmt.Sprintf("stopped after %d units", h.used) {
					t.Fatalf("got %v after %s", err, time.Since(began))
				}
				if h.used > limit+slice+c.bound {
					t.Errorf("stopped after %d units, %d more than the limit", h.used, h.used-limit)
				}
			}
			// Without fuel it does almost nothing.
			h.used, h.given[in], h.limit = 0, 0, 1
			fuel.Set(0)
			h.slice = 0
			if _, err = in.ExportedFunction("run").Call(t.Context()); err == nil {
				t.Error("it ends")
			}
			if h.used > c.bound {
				t.Errorf("it did %d units of work without fuel", h.used)
			}
		})
	}
}
