// Package wasmtest assembles small WebAssembly modules in tests, good ones and
// hostile ones, without any tool. It checks nothing.
//
//	m := wasmtest.New()
//	m.Memory(1, -1)
//	f := m.Func(">i", wasmtest.I32(0))
//	m.Export("ruedo_call", f)
//	wasm := m.Bytes()
package wasmtest

import (
	"slices"
	"strings"
)

// Module is a module being assembled. Imports must be added before functions.
type Module struct {
	types    []string
	imports  [][]byte
	nimports int
	funcs    [][]byte
	bodies   [][]byte
	tables   [][]byte
	memories [][]byte
	globals  [][]byte
	exports  [][]byte
	start    []byte
	elements [][]byte
	data     [][]byte
	passive  bool // at least one data segment is passive
}

// New returns an empty module.
func New() *Module { return &Module{} }

// Function returns a module with the exports of a function guest and code as
// the body of ruedo_call. It has one page of memory and declares no maximum.
func Function(code ...[]byte) *Module { return FunctionWith(nil, code...) }

// FunctionWith is Function with imports, each "module.name:signature".
func FunctionWith(imports []string, code ...[]byte) *Module {
	m := New()
	m.importAll(imports)
	m.Memory(1, -1)
	m.AsFunction(m.Func(">i", code...))
	return m
}

// AsFunction exports call as ruedo_call, and the marker.
func (m *Module) AsFunction(call uint32) {
	m.Export("ruedo_call", call)
	m.Export("ruedo_abi_1", m.Func(">"))
}

// Command returns a module with the exports of a program and code as its
// _start. It has one page of memory and declares no maximum. Each import is
// "module.name:signature".
func Command(imports []string, code ...[]byte) *Module {
	m := New()
	m.importAll(imports)
	m.Memory(1, -1)
	m.Export("_start", m.Func(">", code...))
	return m
}

func (m *Module) importAll(imports []string) {
	for _, i := range imports {
		name, sig, _ := strings.Cut(i, ":")
		module, name, _ := strings.Cut(name, ".")
		m.Import(module, name, sig)
	}
}

// Type adds a signature such as "iI>i" (i is i32, I is i64, f, F) and returns
// its index.
func (m *Module) Type(sig string) uint32 {
	if i := slices.Index(m.types, sig); i >= 0 {
		return uint32(i)
	}
	m.types = append(m.types, sig)
	return uint32(len(m.types) - 1)
}

// Import adds an imported function and returns its index.
func (m *Module) Import(module, name, sig string) uint32 {
	m.ImportRaw(module, name, Cat([]byte{0}, U32(m.Type(sig))))
	m.nimports++
	return uint32(m.nimports - 1)
}

// ImportRaw adds an import with any description.
func (m *Module) ImportRaw(module, name string, desc []byte) {
	m.imports = append(m.imports, Cat(Str(module), Str(name), desc))
}

// Func adds a function without locals and returns its index. It appends the
// `end`.
func (m *Module) Func(sig string, code ...[]byte) uint32 {
	return m.FuncLocals(sig, []byte{0}, code...)
}

// FuncLocals adds a function with encoded locals.
func (m *Module) FuncLocals(sig string, locals []byte, code ...[]byte) uint32 {
	m.funcs = append(m.funcs, U32(m.Type(sig)))
	m.bodies = append(m.bodies, Sized(Cat(locals, Cat(code...), []byte{0x0b})))
	return uint32(m.nimports + len(m.funcs) - 1)
}

// Memory adds a memory of pages, exported as "memory" if it is the first. A
// negative max means no maximum.
func (m *Module) Memory(minimum, maximum int64) {
	if len(m.memories) == 0 {
		m.exports = append(m.exports, Cat(Str("memory"), []byte{2, 0}))
	}
	if maximum < 0 {
		m.memories = append(m.memories, Cat([]byte{0}, U64(uint64(minimum))))
		return
	}
	m.memories = append(m.memories, Cat([]byte{1}, U64(uint64(minimum)), U64(uint64(maximum))))
}

// MemoryRaw adds a memory with any encoding, not exported.
func (m *Module) MemoryRaw(b []byte) { m.memories = append(m.memories, b) }

// Table adds a table of functions.
func (m *Module) Table(minimum uint32) {
	m.tables = append(m.tables, Cat([]byte{0x70, 0}, U32(minimum)))
}

// TableRaw adds a table with any encoding.
func (m *Module) TableRaw(b []byte) { m.tables = append(m.tables, b) }

// Global adds a mutable i64 global and returns its index.
func (m *Module) Global(init int64) uint32 {
	m.globals = append(m.globals, Cat([]byte{0x7e, 1, 0x42}, S64(init), []byte{0x0b}))
	return uint32(len(m.globals) - 1)
}

// GlobalRaw adds a global with any encoding.
func (m *Module) GlobalRaw(b []byte) { m.globals = append(m.globals, b) }

// Export exports a function.
func (m *Module) Export(name string, index uint32) { m.ExportKind(name, 0, index) }

// ExportKind exports anything.
func (m *Module) ExportKind(name string, kind byte, index uint32) {
	m.exports = append(m.exports, Cat(Str(name), []byte{kind}, U32(index)))
}

// Start sets the start function.
func (m *Module) Start(index uint32) { m.start = U32(index) }

// Element puts functions at the front of table 0.
func (m *Module) Element(index ...uint32) {
	e := Cat([]byte{0, 0x41, 0, 0x0b}, U32(uint32(len(index))))
	for _, i := range index {
		e = Cat(e, U32(i))
	}
	m.elements = append(m.elements, e)
}

// Data puts bytes into memory.
func (m *Module) Data(offset int32, b []byte) {
	m.data = append(m.data, Cat([]byte{0}, I32(offset), []byte{0x0b}, Sized(b)))
}

// DataRaw adds a data segment with any encoding.
func (m *Module) DataRaw(b []byte) { m.data = append(m.data, b) }

// PassiveData adds bytes that only memory.init reads, and returns the segment's
// index.
func (m *Module) PassiveData(b []byte) uint32 {
	m.passive = true
	m.data = append(m.data, Cat([]byte{1}, Sized(b)))
	return uint32(len(m.data) - 1)
}

// Bytes assembles the module.
func (m *Module) Bytes() []byte {
	var types [][]byte
	for _, sig := range m.types {
		t := []byte{0x60}
		var list []byte
		for _, c := range []byte(sig) {
			switch c {
			case '>':
				t = Cat(t, Sized(list))
				list = nil
			case 'i':
				list = append(list, 0x7f)
			case 'I':
				list = append(list, 0x7e)
			case 'f':
				list = append(list, 0x7d)
			case 'F':
				list = append(list, 0x7c)
			}
		}
		types = append(types, Cat(t, Sized(list)))
	}
	out := Header()
	for _, s := range []struct {
		id   byte
		list [][]byte
	}{
		{1, types}, {2, m.imports}, {3, m.funcs}, {4, m.tables}, {5, m.memories}, {6, m.globals}, {7, m.exports},
		{8, nil}, {9, m.elements}, {12, nil}, {10, m.bodies}, {11, m.data},
	} {
		switch {
		case s.id == 12 && m.passive:
			out = Cat(out, Section(12, U32(uint32(len(m.data)))))
		case s.id == 8 && m.start != nil:
			out = Cat(out, Section(8, m.start))
		case len(s.list) > 0:
			out = Cat(out, Section(s.id, Vec(s.list...)))
		}
	}
	return out
}

// Header is the magic number and the version.
func Header() []byte { return []byte("\x00asm\x01\x00\x00\x00") }

// Section is a section with its size.
func Section(id byte, body []byte) []byte { return Cat([]byte{id}, Sized(body)) }

// Custom is a custom section.
func Custom(name string, body []byte) []byte { return Section(0, Cat(Str(name), body)) }

// Vec is a vector: its length and its entries.
func Vec(entries ...[]byte) []byte { return Cat(U32(uint32(len(entries))), Cat(entries...)) }

// Sized is a length in bytes and the bytes.
func Sized(b []byte) []byte { return Cat(U32(uint32(len(b))), b) }

// Str is a name.
func Str(s string) []byte { return Sized([]byte(s)) }

// Cat joins pieces.
func Cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

// U32 is an unsigned LEB128.
func U32(v uint32) []byte { return U64(uint64(v)) }

// U64 is an unsigned LEB128.
func U64(v uint64) []byte {
	var b []byte
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// S64 is a signed LEB128.
func S64(v int64) []byte {
	var b []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// Ops are instructions as they are encoded.
func Ops(b ...byte) []byte { return b }

// I32 is i32.const.
func I32(v int32) []byte { return Cat([]byte{0x41}, S64(int64(v))) }

// I64 is i64.const.
func I64(v int64) []byte { return Cat([]byte{0x42}, S64(v)) }

// Call is call.
func Call(i uint32) []byte { return Cat([]byte{0x10}, U32(i)) }

// CallWith passes constant i32 arguments to a call.
func CallWith(i uint32, args ...int32) []byte {
	var b []byte
	for _, a := range args {
		b = Cat(b, I32(a))
	}
	return Cat(b, Call(i))
}

// Drop is drop.
func Drop() []byte { return []byte{0x1a} }

// Loop runs code forever.
func Loop(code ...[]byte) []byte {
	return Cat([]byte{0x03, 0x40}, Cat(code...), []byte{0x0c, 0x00, 0x0b})
}

// Forever loops and leaves the stack polymorphic, so that it fits any result.
func Forever(code ...[]byte) []byte { return Cat(Loop(code...), Unreachable()) }

// Unreachable is unreachable.
func Unreachable() []byte { return []byte{0x00} }

// GlobalGet is global.get.
func GlobalGet(i uint32) []byte { return Cat([]byte{0x23}, U32(i)) }

// GlobalSet is global.set.
func GlobalSet(i uint32) []byte { return Cat([]byte{0x24}, U32(i)) }
