package instrument_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

var metered = instrument.Options{Meter: true}

// guest has an import, a start function, an exported function, a table, a
// global of each kind, data and names.
func guest() []byte {
	code := func(code ...[]byte) []byte { return w.Sized(w.Cat([]byte{0}, w.Cat(code...), []byte{0x0b})) }
	names := w.Vec(w.Cat([]byte{0}, w.Str("env.f")), w.Cat([]byte{1}, w.Str("main.start")), w.Cat([]byte{2}, w.Str("main.run")))
	return w.Cat(w.Header(),
		w.Section(1, w.Vec([]byte{0x60, 0, 0}, []byte{0x60, 0, 1, 0x7f})),
		w.Section(2, w.Vec(w.Cat(w.Str("env"), w.Str("f"), []byte{0, 0}))),
		w.Section(3, w.Vec([]byte{0}, []byte{1})),
		w.Section(4, w.Vec([]byte{0x70, 0, 4}, []byte{0x6f, 1, 1, 90})),
		w.Section(5, w.Vec([]byte{0, 2})),
		w.Section(6, w.Vec(
			[]byte{0x7f, 1, 0x41, 5, 0x0b},
			[]byte{0x7f, 0, 0x41, 6, 0x0b},
			w.Cat([]byte{0x7c, 1, 0x44}, make([]byte, 8), []byte{0x0b}),
			[]byte{0x70, 0, 0xd2, 2, 0x0b},
		)),
		w.Section(7, w.Vec(w.Cat(w.Str("memory"), []byte{2, 0}), w.Cat(w.Str("run"), []byte{0, 2}), w.Cat(w.Str("f"), []byte{0, 0}), w.Cat(w.Str("table"), []byte{1, 0}))),
		w.Section(8, []byte{1}),
		w.Section(9, w.Vec([]byte{0, 0x41, 1, 0x0b, 2, 2, 0}, []byte{5, 0x70, 1, 0xd2, 1, 0x0b})),
		w.Section(12, []byte{2}),
		w.Section(10, w.Vec(
			code(w.I32(1), []byte{0x24, 0}),                                    // start: global 0 = 1
			code(w.I32(1), []byte{0x11, 0, 0}, w.I32(100), []byte{0x28, 2, 0}), // call table[1], load
		)),
		w.Section(11, w.Vec(
			w.Cat([]byte{0}, w.I32(100), []byte{0x0b}, w.Sized([]byte("abcd"))),
			w.Cat([]byte{2, 0}, w.I32(102), []byte{0x0b}, w.Sized([]byte("XY"))),
		)),
		w.Custom("producers", []byte{0}),
		w.Custom("name", w.Cat([]byte{0}, w.Sized(w.Str("guest")), []byte{1}, w.Sized(names), []byte{2}, w.Sized([]byte{0}))),
		w.Custom(".debug_info", make([]byte, 100)),
	)
}

func read(t *testing.T, wasm []byte) *wasmbin.Module {
	t.Helper()
	m, err := wasmbin.Read(wasm)
	if err != nil {
		t.Fatal(err)
	}
	code := wasmbin.NewCode(m, wasm)
	for i := range m.Bodies {
		code.Open(i)
		for code.Next() {
		}
		if err := code.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestRewriteMovesEverything(t *testing.T) {
	in := guest()
	before := bytes.Clone(in)
	o := instrument.Options{Meter: true, MemoryMaxPages: 10, MemorySlackPages: 1, TableMax: 50}
	res := rewrite(t, in, o)
	if !bytes.Equal(in, before) {
		t.Error("the given module was changed")
	}
	if again := rewrite(t, in, o); !bytes.Equal(again.Wasm, res.Wasm) {
		t.Error("the second result differs")
	}
	m := read(t, res.Wasm)
	if len(m.Imports) != 2 || m.Imports[1].Module != instrument.ImportModule || m.Imports[1].Name != instrument.ImportRefuel {
		t.Errorf("imports: %+v", m.Imports)
	}
	exports := map[string]uint32{}
	for _, x := range m.Exports {
		exports[x.Name] = x.Index
	}
	for name, index := range map[string]uint32{"run": 3, "f": 0, "ruedo:start": 2, "ruedo:fuel": 4, "ruedo:global:0": 0, "ruedo:global:2": 2, "memory": 0} {
		if got, ok := exports[name]; !ok || got != index {
			t.Errorf("export %s: got %d (%v), want %d", name, got, ok, index)
		}
	}
	if len(exports) != 8 || m.Start != nil || m.Data != 0 || m.Elements != 2 {
		t.Errorf("exports %v, start %v, data %d, elements %d", exports, m.Start, m.Data, m.Elements)
	}
	if a, b := m.Tables[0].Range, m.Tables[1].Range; a != (wasmbin.Range{Min: 4, Max: 50, HasMax: true}) || b != (wasmbin.Range{Min: 1, Max: 50, HasMax: true}) {
		t.Errorf("tables: %+v %+v", a, b)
	}
	if mem := m.Memories[0].Range; mem != (wasmbin.Range{Min: 2, Max: 11, HasMax: true}) || res.MemoryMaxPages != 10 {
		t.Errorf("memory: %+v, for the guest %d", mem, res.MemoryMaxPages)
	}
	if want := []instrument.Global{{Name: "ruedo:global:0", Type: wasmbin.I32}, {Name: "ruedo:global:2", Type: wasmbin.F64}}; !slices.Equal(res.Globals, want) {
		t.Errorf("globals: %+v", res.Globals)
	}
	if len(res.Segments) != 2 || res.Segments[0].Offset != 100 || string(res.Segments[0].Bytes) != "abcd" || res.Segments[1].Offset != 102 || string(res.Segments[1].Bytes) != "XY" {
		t.Errorf("segments: %+v", res.Segments)
	}
	if res.Start != instrument.ExportStart || res.Fuel != instrument.ExportFuel || !res.Restorable || len(res.Reasons) != 0 {
		t.Errorf("got %+v", res)
	}
	for i, want := range []string{"env.f", "ruedo:refuel", "main.start", "main.run", ""} {
		if got := m.FunctionName(res.Wasm, uint32(i)); got != want {
			t.Errorf("name of function %d: got %q, want %q", i, got, want)
		}
	}
	var custom []string
	for _, s := range m.Sections {
		if s.ID == wasmbin.SectionCustom {
			custom = append(custom, s.Name)
		}
	}
	if !slices.Equal(custom, []string{"name"}) {
		t.Errorf("custom sections: %q", custom)
	}
	// It also runs: start first, then a call through the table and a load of data.
	h := newHost(t, 100)
	called := 0
	if _, err := h.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func() { called++ }).Export("f").Instantiate(t.Context()); err != nil {
		t.Fatal(err)
	}
	in2, err := h.instantiate(t.Context(), in, res, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	if g := in2.ExportedGlobal("ruedo:global:0").Get(); g != 1 {
		t.Errorf("the start function left %d", g)
	}
	_, err = in2.ExportedFunction("run").Call(t.Context())
	if err == nil || !strings.Contains(err.Error(), "indirect call type mismatch") {
		t.Errorf("table[1] is run, of another type: got %v", err)
	}
	if !strings.Contains(fmt.Sprint(err), "guest.main.run") {
		t.Errorf("no name in the trace: %v", err)
	}
}

func TestRewriteWithoutMeter(t *testing.T) {
	res := rewrite(t, guest(), instrument.Options{})
	m := read(t, res.Wasm)
	if len(m.Imports) != 1 || len(m.Types) != 2 || res.Fuel != "" || res.Checks != 0 || m.Export("ruedo:fuel") != nil || len(res.Globals) != 2 || m.Export("run").Index != 2 {
		t.Errorf("got %+v, %+v", res, m)
	}
	if mem := m.Memories[0]; mem.HasMax || res.MemoryMaxPages != 65536 || m.Tables[0].HasMax || m.Tables[1].Max != 90 {
		t.Errorf("memory %+v, for the guest %d, tables %+v", mem, res.MemoryMaxPages, m.Tables)
	}
}

// TestSegmentsStay covers the cases in which a guest could notice their
// removal.
func TestSegmentsStay(t *testing.T) {
	build := func(data ...[]byte) []byte {
		return w.Cat(w.Header(), w.Section(5, w.Vec([]byte{0, 1})), w.Section(6, w.Vec([]byte{0x7f, 0, 0x41, 8, 0x0b})), w.Section(11, w.Vec(data...)))
	}
	constant := w.Cat([]byte{0}, w.I32(8), []byte{0x0b}, w.Sized([]byte("abc")))
	for _, c := range []struct {
		name  string
		in    []byte
		taken int
		left  int
	}{
		{"all constant", build(constant, constant), 2, 0},
		{"a computed offset", build(constant, w.Cat([]byte{0}, w.I32(8), w.I32(1), []byte{0x6a, 0x0b}, w.Sized([]byte("x")))), 0, 2},
		{"an offset in a global", build(w.Cat([]byte{0, 0x23, 0, 0x0b}, w.Sized([]byte("x"))), constant), 0, 2},
		{"out of bounds", build(constant, w.Cat([]byte{0}, w.I32(65535), []byte{0x0b}, w.Sized([]byte("xy")))), 0, 2},
		{"at the end", build(w.Cat([]byte{0}, w.I32(65535), []byte{0x0b}, w.Sized([]byte("x")))), 1, 0},
		{"far out of bounds", build(w.Cat([]byte{0}, w.I32(-1), []byte{0x0b}, w.Sized([]byte("x")))), 0, 1},
	} {
		res := rewrite(t, c.in, metered)
		if m := read(t, res.Wasm); len(res.Segments) != c.taken || m.Data != c.left {
			t.Errorf("%s: %d taken out, %d left; want %d and %d", c.name, len(res.Segments), m.Data, c.taken, c.left)
		}
		// Segments that stay overwrite the memory of each new instance.
		if res.Restorable != (c.left == 0) {
			t.Errorf("%s: restorable %v, %q", c.name, res.Restorable, res.Reasons)
		}
	}
}

// TestPassiveSegments keeps the numbers of segments that the code refers to.
func TestPassiveSegments(t *testing.T) {
	body := w.Sized(w.Cat([]byte{0}, w.I32(16), w.I32(0), w.I32(3), []byte{0xfc, 8, 1, 0}, w.I32(16), []byte{0x28, 2, 0, 0x0b}))
	in := w.Cat(w.Header(),
		w.Section(1, w.Vec([]byte{0x60, 0, 1, 0x7f})), w.Section(3, w.Vec([]byte{0})), w.Section(5, w.Vec([]byte{0, 1})),
		w.Section(7, w.Vec(w.Cat(w.Str("f"), []byte{0, 0}), w.Cat(w.Str("memory"), []byte{2, 0}))),
		w.Section(12, []byte{2}), w.Section(10, w.Vec(body)),
		w.Section(11, w.Vec(w.Cat([]byte{0}, w.I32(19), []byte{0x0b}, w.Sized([]byte("D"))), w.Cat([]byte{1}, w.Sized([]byte("ABC"))))))
	res := rewrite(t, in, metered)
	if len(res.Segments) != 1 || read(t, res.Wasm).Data != 2 || !res.Restorable {
		t.Errorf("got %+v", res)
	}
	h := newHost(t, 10)
	m, err := h.instantiate(t.Context(), in, res, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.ExportedFunction("f").Call(t.Context())
	if err != nil || got[0] != 0x44434241 {
		t.Errorf("got %x, %v", got, err)
	}
	// The price of the call includes the instruction itself.
	if used := h.account(m); used != 3 {
		t.Errorf("memory.init of 3 bytes was charged %d units", used)
	}
}

func TestReasons(t *testing.T) {
	mod := func(f func(m *w.Module)) []byte {
		m := w.New()
		m.Memory(1, 1)
		m.Table(2)
		f(m)
		return m.Bytes()
	}
	null := []byte{0xd0, 0x70}
	for _, c := range []struct {
		name, reason string
		in           []byte
	}{
		{"nothing", "", mod(func(m *w.Module) {
			m.Func(">", w.I32(0), []byte{0x25, 0, 0x1a}, w.I32(0), w.I32(0), w.I32(0), []byte{0xfc, 11, 0})
		})},
		{"table.set", "it uses table.set, in function 0", mod(func(m *w.Module) { m.Func(">", w.I32(0), null, []byte{0x26, 0}) })},
		{"table.grow", "it uses table.grow, in function 1", mod(func(m *w.Module) { m.Func(">"); m.Func(">", null, w.I32(0), []byte{0xfc, 15, 0, 0x1a}) })},
		{"table.fill", "it uses table.fill", mod(func(m *w.Module) { m.Func(">", w.I32(0), null, w.I32(0), []byte{0xfc, 17, 0}) })},
		{"table.copy", "it uses table.copy", mod(func(m *w.Module) { m.Func(">", w.I32(0), w.I32(0), w.I32(0), []byte{0xfc, 14, 0, 0}) })},
		{"table.init", "it uses table.init", mod(func(m *w.Module) {
			m.Element(m.Func(">", w.I32(0), w.I32(0), w.I32(0), []byte{0xfc, 12, 0, 0}))
		})},
		{"elem.drop", "it uses elem.drop", mod(func(m *w.Module) { m.Element(m.Func(">", []byte{0xfc, 13, 0})) })},
		{"global of a function", "its global 0 can change and is a funcref", w.Cat(w.Header(), w.Section(6, w.Vec([]byte{0x70, 1, 0xd0, 0x70, 0x0b})))},
		{"global of a vector", "its global 0 can change and is a v128", w.Cat(w.Header(), w.Section(6, w.Vec(w.Cat([]byte{0x7b, 1, 0xfd, 12}, make([]byte, 16), []byte{0x0b}))))},
		{"imported memory", "it imports a memory", mod(func(m *w.Module) { m.ImportRaw("env", "memory", []byte{2, 0, 1}) })},
	} {
		res := rewrite(t, c.in, metered)
		if got := strings.Join(res.Reasons, "; "); res.Restorable != (c.reason == "") || !strings.Contains(got, c.reason) {
			t.Errorf("%s: restorable %v, %q; want %q", c.name, res.Restorable, got, c.reason)
		}
	}
}

func TestRewriteRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason fault.Reason
		build  func(m *w.Module)
		o      instrument.Options
	}{
		{"an export of ours", fault.WasmReservedName, func(m *w.Module) { m.ExportKind(instrument.ExportFuel, 3, m.Global(0)) }, metered},
		{"an import of ours", fault.WasmReservedName, func(m *w.Module) { m.Import(instrument.ImportModule, instrument.ImportRefuel, ">") }, metered},
		{"fuel by its index", fault.Malformed, func(m *w.Module) { m.Func(">", w.I64(1<<60), w.GlobalSet(0)) }, metered},
		{"refuel by its index", fault.Malformed, func(m *w.Module) { m.Func(">", w.Call(1)) }, metered},
		{"fuel by its index, exported", fault.Malformed, func(m *w.Module) { m.ExportKind("x", 3, 0) }, metered},
		{"a helper in an element segment", fault.Malformed, func(m *w.Module) { m.Table(9); m.Element(0) }, metered},
		{"too much memory", fault.WasmLimitMemory, func(m *w.Module) { m.Memory(11, -1) }, instrument.Options{MemoryMaxPages: 10}},
		{"an unknown instruction", fault.Malformed, func(m *w.Module) { m.Func(">", w.Ops(0x27)) }, instrument.Options{}},
	} {
		m := w.New()
		c.build(m)
		_, err := instrument.Rewrite(m.Bytes(), c.o)
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != c.reason {
			t.Errorf("%s: got %v, want %s", c.name, err, c.reason)
		}
	}
}

// TestNumbersGrow has so many functions that a shifted index takes one byte
// more.
func TestNumbersGrow(t *testing.T) {
	m := w.New()
	for range 127 {
		m.Func(">i", w.I32(1))
	}
	last := m.Func(">i", w.I32(42)) // 127, and 128 after refuel is added
	m.Export("f", m.Func(">i", w.Call(last)))
	h := newHost(t, 10)
	in, err := h.instantiate(t.Context(), nil, rewrite(t, m.Bytes(), metered), wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := in.ExportedFunction("f").Call(t.Context()); err != nil || got[0] != 42 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestKey(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range []instrument.Options{{}, metered, {MemoryMaxPages: 1}, {MemorySlackPages: 1}, {TableMax: 1}, {MemoryMaxPages: 1, MemorySlackPages: 1}} {
		if seen[o.Key()] {
			t.Errorf("two options have the key %s", o.Key())
		}
		seen[o.Key()] = true
	}
}
