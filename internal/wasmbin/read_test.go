package wasmbin_test

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// everything has one of each section that the reader supports.
func everything() []byte {
	m := w.New()
	m.Import("ruedo", "output_write", "ii>i")
	m.Import("wasi_snapshot_preview1", "proc_exit", "i>")
	m.Memory(1, 4)
	m.Table(8)
	m.Global(-5)
	call := m.Func(">i", w.I32(0))
	m.AsFunction(call)
	init := m.FuncLocals(">", w.Vec(w.Cat(w.U32(3), []byte{0x7f}), w.Cat(w.U32(2), []byte{0x7e})))
	m.Export("_initialize", init)
	m.Start(init)
	m.Element(call, init)
	m.Data(16, []byte("hello"))
	return w.Cat(m.Bytes(), w.Custom("name", []byte{1, 2, 3}))
}

func TestReadGivesTheParts(t *testing.T) {
	m, err := wasmbin.Read(everything())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Types) != 4 || len(m.Imports) != 2 || len(m.Functions) != 3 || len(m.Bodies) != 3 || m.NumFunctions() != 5 ||
		len(m.Tables) != 1 || len(m.Memories) != 1 || len(m.Globals) != 1 || len(m.Exports) != 4 ||
		m.Elements != 1 || m.Data != 1 || m.Start == nil || *m.Start != 4 || len(m.Sections) != 12 {
		t.Errorf("got %+v", m)
	}
	if m.Bodies[2].Locals != 5 {
		t.Errorf("locals: got %d, want 5", m.Bodies[2].Locals)
	}
	if mem := m.Memories[0]; mem.Min != 1 || mem.Max != 4 || !mem.HasMax {
		t.Errorf("memory: %+v", mem)
	}
	if s := m.Sections[11]; s.Name != "name" || s.ID != wasmbin.SectionCustom {
		t.Errorf("custom section: %+v", s)
	}
	for i, want := range []string{"(i32, i32) -> (i32)", "(i32) -> ()", "() -> (i32)", "() -> ()", "() -> ()"} {
		if ft, ok := m.FuncType(uint32(i)); !ok || ft.String() != want {
			t.Errorf("function %d: got %s, want %s", i, ft, want)
		}
	}
	if _, ok := m.FuncType(5); ok {
		t.Error("a function that does not exist has a type")
	}
}

// TestEveryPrefix cuts a module at every byte: the prefix is either refused, or
// ends at the end of a section.
func TestEveryPrefix(t *testing.T) {
	whole := everything()
	m, err := wasmbin.Read(whole)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int]bool{8: true}
	for _, s := range m.Sections {
		// Between the function section and the code section a module lacks bodies.
		ends[int(s.Offset)+s.Size] = s.ID <= wasmbin.SectionImport && s.ID != wasmbin.SectionCustom ||
			s.ID == wasmbin.SectionCode || s.ID == wasmbin.SectionData || s.ID == wasmbin.SectionCustom
	}
	for n := range len(whole) + 1 {
		_, err := wasmbin.Read(whole[:n])
		if ok := err == nil; ok != ends[n] {
			t.Errorf("the first %d of %d bytes: got %v, want valid %v", n, len(whole), err, ends[n])
		}
		if err != nil {
			e := asError(t, err)
			if n > 0 && (e.Reason != fault.Malformed || offset(e) < 0 || offset(e) > int64(n)) {
				t.Errorf("the first %d bytes: %+v", n, e)
			}
		}
	}
}

// offset returns where reading stopped, or -1 if the error has no position.
func offset(e *fault.Error) int64 {
	text, ok := e.Meta["offset"]
	if !ok {
		return -1
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err) // it is a number
	}
	return n
}

func asError(t *testing.T, err error) *fault.Error {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		t.Fatalf("%v is not a *fault.Error", err)
	}
	if e.Message == "" || e.Fix == "" {
		t.Errorf("no message or fix: %+v", e)
	}
	return e
}

func TestReadRefuses(t *testing.T) {
	mod := func(sections ...[]byte) []byte { return w.Cat(w.Header(), w.Cat(sections...)) }
	void := w.Section(1, w.Vec([]byte{0x60, 0, 0}))
	one := w.Section(3, w.Vec([]byte{0}))
	lies := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	body := func(b ...byte) []byte { return w.Section(10, w.Vec(w.Sized(b))) }
	for _, c := range []struct {
		name   string
		reason fault.Reason
		text   string
		in     []byte
	}{
		{"unknown section", "WASM_MALFORMED", "unknown section 14", mod(w.Section(14, nil))},
		{"section longer than the file", "WASM_MALFORMED", "4294967295 bytes are announced", mod([]byte{1}, lies)},
		{"size too long", "WASM_MALFORMED", "longer than 32 bits", mod([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x1f})},
		{"size of six bytes", "WASM_MALFORMED", "longer than 32 bits", mod([]byte{1, 0x80, 0x80, 0x80, 0x80, 0x80, 0})},
		{"twice", "WASM_MALFORMED", "stands twice", mod(void, void)},
		{"wrong place", "WASM_MALFORMED", "wrong place", mod(w.Section(2, w.Vec()), void)},
		{"count that lies", "WASM_MALFORMED", "4294967295 types are announced", mod(w.Section(1, lies))},
		{"count above the rest", "WASM_MALFORMED", "1000 types are announced", mod(w.Section(1, w.U32(1000)))},
		{"left over", "WASM_MALFORMED", "1 bytes are left over", mod(w.Section(1, []byte{0, 0}))},
		{"form of type", "WASM_MALFORMED", "form of type 0x61", mod(w.Section(1, w.Vec([]byte{0x61, 0, 0})))},
		{"struct type", "WASM_UNSUPPORTED", "garbage collection", mod(w.Section(1, w.Vec([]byte{0x5f, 0, 0})))},
		{"value type", "WASM_MALFORMED", "value type 0x11", mod(w.Section(1, w.Vec([]byte{0x60, 1, 0x11, 0})))},
		{"typed reference", "WASM_UNSUPPORTED", "reference type", mod(w.Section(1, w.Vec([]byte{0x60, 1, 0x64, 0})))},
		{"name not UTF-8", "WASM_MALFORMED", "UTF-8", mod(w.Section(0, []byte{2, 0xc3, 0x28}))},
		{"name too long", "WASM_MALFORMED", "announced", mod(w.Section(0, []byte{9, 'a'}))},
		{"import kind", "WASM_MALFORMED", "kind of import", mod(w.Section(2, w.Vec(w.Cat(w.Str("a"), w.Str("b"), []byte{9, 0}))))},
		{"import tag", "WASM_UNSUPPORTED", "exceptions", mod(w.Section(2, w.Vec(w.Cat(w.Str("a"), w.Str("b"), []byte{4, 0, 0}))))},
		{"import type", "WASM_MALFORMED", "type 7 does not exist", mod(void, w.Section(2, w.Vec(w.Cat(w.Str("a"), w.Str("b"), []byte{0, 7}))))},
		{"function type", "WASM_MALFORMED", "type 1 does not exist", mod(void, w.Section(3, w.Vec([]byte{1})))},
		{"no code", "WASM_MALFORMED", "1 functions are declared and 0 have a body", mod(void, one)},
		{"no functions", "WASM_MALFORMED", "0 functions are declared and 1", mod(void, body(0, 0x0b))},
		{"no end", "WASM_MALFORMED", "does not end", mod(void, one, body(0, 0x01))},
		{"body longer than the section", "WASM_MALFORMED", "announced", mod(void, one, w.Section(10, []byte{1, 9, 0, 0x0b}))},
		{"1e9 locals", "WASM_LIMIT_LOCALS", "function 0 has too many locals: 1000000000", mod(void, one, body(w.Cat([]byte{1}, w.U32(1e9), []byte{0x7f, 0x0b})...))},
		{"locals that overflow", "WASM_LIMIT_LOCALS", "too many locals", mod(void, one, body(w.Cat([]byte{2, 1, 0x7f}, lies, []byte{0x7f, 0x0b})...))},
		{"table type", "WASM_MALFORMED", "not a reference type", mod(w.Section(4, w.Vec([]byte{0x7f, 0, 0})))},
		{"table too large", "WASM_LIMIT_TABLE", "tables too large (elements): 134217728", mod(w.Section(4, w.Vec(w.Cat([]byte{0x70, 0}, w.U32(1<<27)))))},
		{"shared table", "WASM_UNSUPPORTED", "shared", mod(w.Section(4, w.Vec([]byte{0x70, 3, 0, 1})))},
		{"table with value", "WASM_UNSUPPORTED", "initial value", mod(w.Section(4, w.Vec([]byte{0x40, 0, 0x70, 0, 0, 0xd0, 0x70, 0x0b})))},
		{"max below min", "WASM_MALFORMED", "maximum of 1 is below the minimum of 2", mod(w.Section(5, w.Vec([]byte{1, 2, 1})))},
		{"memory flags", "WASM_MALFORMED", "flags of limits", mod(w.Section(5, w.Vec([]byte{0x20, 2, 1})))},
		{"page size", "WASM_UNSUPPORTED", "page size", mod(w.Section(5, w.Vec([]byte{0x08, 2, 1})))},
		{"memory too large", "WASM_MALFORMED", "more than 65536 pages", mod(w.Section(5, w.Vec(w.Cat([]byte{0}, w.U32(65537)))))},
		{"tags", "WASM_UNSUPPORTED", "exceptions", mod(w.Section(13, w.Vec()))},
		{"mutability", "WASM_MALFORMED", "mutability", mod(w.Section(6, w.Vec([]byte{0x7f, 2, 0x41, 0, 0x0b})))},
		{"global without end", "WASM_MALFORMED", "unexpected end", mod(w.Section(6, w.Vec([]byte{0x7f, 1, 0x41, 0})))},
		{"global with a call", "WASM_MALFORMED", "in a constant expression", mod(w.Section(6, w.Vec([]byte{0x7f, 1, 0x10, 0, 0x0b})))},
		{"global of a later one", "WASM_MALFORMED", "global 0 does not exist", mod(w.Section(6, w.Vec([]byte{0x7f, 1, 0x23, 0, 0x0b})))},
		{"i32 too long", "WASM_MALFORMED", "signed number is longer", mod(w.Section(6, w.Vec([]byte{0x7f, 1, 0x41, 0x80, 0x80, 0x80, 0x80, 0x70, 0x0b})))},
		{"export twice", "WASM_MALFORMED", `name "a"`, mod(void, one, w.Section(7, w.Vec([]byte{1, 'a', 0, 0}, []byte{1, 'a', 0, 0})), body(0, 0x0b))},
		{"export of nothing", "WASM_MALFORMED", "memory 0 does not exist", mod(w.Section(7, w.Vec([]byte{1, 'a', 2, 0})))},
		{"export kind", "WASM_MALFORMED", "kind of export", mod(w.Section(7, w.Vec([]byte{1, 'a', 9, 0})))},
		{"start of nothing", "WASM_MALFORMED", "function 3 does not exist", mod(void, w.Section(8, []byte{3}))},
		{"start with result", "WASM_MALFORMED", "start function has the signature () -> (i32)", mod(w.Section(1, w.Vec([]byte{0x60, 0, 1, 0x7f})), one, w.Section(8, []byte{0}), body(0, 0x0b))},
		{"element without table", "WASM_MALFORMED", "without a table", mod(w.Section(9, w.Vec([]byte{0, 0x41, 0, 0x0b, 0})))},
		{"element flags", "WASM_MALFORMED", "flags of an element", mod(w.Section(9, w.Vec([]byte{8, 0})))},
		{"element of nothing", "WASM_MALFORMED", "function 5 does not exist", mod(w.Section(4, w.Vec([]byte{0x70, 0, 1})), w.Section(9, w.Vec([]byte{0, 0x41, 0, 0x0b, 1, 5})))},
		{"data without memory", "WASM_MALFORMED", "without a memory", mod(w.Section(11, w.Vec([]byte{0, 0x41, 0, 0x0b, 0})))},
		{"data flags", "WASM_MALFORMED", "flags of a data", mod(w.Section(11, w.Vec([]byte{3, 0})))},
		{"data longer than the file", "WASM_MALFORMED", "announced", mod(w.Section(11, w.Vec(w.Cat([]byte{1}, lies))))},
		{"data count", "WASM_MALFORMED", "3 data segments are announced", mod(w.Section(12, []byte{3}))},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrivesAnyhow(t, c.in, wasmbin.Limits{})
			_, err := wasmbin.Read(c.in)
			if err == nil {
				t.Fatal("no error")
			}
			e := asError(t, err)
			if e.Reason != c.reason || !strings.Contains(e.Message, c.text) {
				t.Errorf("got %s %q, want %s with %q", e.Reason, e.Message, c.reason, c.text)
			}
		})
	}
}

func TestReadTakesRareForms(t *testing.T) {
	mod := func(sections ...[]byte) []byte { return w.Cat(w.Header(), w.Cat(sections...)) }
	table := w.Section(4, w.Vec([]byte{0x70, 0, 4}))
	memory := w.Section(5, w.Vec([]byte{0, 1}))
	for name, in := range map[string][]byte{
		"empty":          mod(),
		"padded numbers": mod(w.Section(5, []byte{0x81, 0x80, 0x80, 0x80, 0x00, 0, 1})),
		"globals of each type": mod(w.Section(6, w.Vec(
			[]byte{0x7f, 0, 0x41, 0x80, 0x80, 0x80, 0x80, 0x78, 0x0b},
			[]byte{0x7e, 0, 0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f, 0x0b},
			[]byte{0x7d, 0, 0x43, 1, 2, 3, 4, 0x0b},
			[]byte{0x7c, 1, 0x44, 1, 2, 3, 4, 5, 6, 7, 8, 0x0b},
			w.Cat([]byte{0x7b, 0, 0xfd, 12}, make([]byte, 16), []byte{0x0b}),
			[]byte{0x70, 1, 0xd0, 0x70, 0x0b},
			[]byte{0x7f, 0, 0x23, 0, 0x41, 1, 0x6a, 0x0b},
		))),
		"element segments of each form": mod(table, w.Section(9, w.Vec(
			[]byte{0, 0x41, 0, 0x0b, 0},
			[]byte{1, 0, 0},
			[]byte{2, 0, 0x41, 0, 0x0b, 0, 0},
			[]byte{3, 0, 0},
			[]byte{4, 0x41, 0, 0x0b, 1, 0xd0, 0x70, 0x0b},
			[]byte{5, 0x70, 0},
			[]byte{6, 0, 0x41, 0, 0x0b, 0x70, 0},
			[]byte{7, 0x6f, 0},
		))),
		"data segments of each form": mod(memory, w.Section(12, []byte{3}), w.Section(11, w.Vec(
			[]byte{0, 0x41, 0, 0x0b, 1, 'a'}, []byte{1, 0}, []byte{2, 0, 0x41, 0, 0x0b, 0},
		))),
		"64-bit and shared memories": mod(w.Section(5, w.Vec([]byte{4, 1}, []byte{3, 1, 2}))),
	} {
		if _, err := wasmbin.Read(in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 63, 64, -64, -65, 8191, -8192, 1<<31 - 1, -1 << 31, 1 << 32, 1<<63 - 1, -1 << 63} {
		b := w.S64(v)
		r := wasmbin.NewReader(b, 0)
		if got, err := r.I64(); err != nil || got != v || r.Len() != 0 {
			t.Errorf("I64 of %d: got %d, %v", v, got, err)
		}
		got, err := wasmbin.NewReader(b, 0).I32()
		if fits := int64(int32(v)) == v; (err == nil) != fits || fits && int64(got) != v {
			t.Errorf("I32 of %d: got %d, %v", v, got, err)
		}
	}
	for _, v := range []uint64{0, 1, 127, 128, 1<<32 - 1, 1 << 32, 1<<64 - 1} {
		b := w.U64(v)
		if got, err := wasmbin.NewReader(b, 0).U64(); err != nil || got != v {
			t.Errorf("U64 of %d: got %d, %v", v, got, err)
		}
		if got, err := wasmbin.NewReader(b, 0).U32(); (err == nil) != (v < 1<<32) || err == nil && uint64(got) != v {
			t.Errorf("U32 of %d: got %d, %v", v, got, err)
		}
	}
	if _, err := wasmbin.NewReader(bytes.Repeat([]byte{0x80}, 20), 7).U64(); err == nil || offset(asError(t, err)) != 7 {
		t.Errorf("endless number: %v", err)
	}
}
