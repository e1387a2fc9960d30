// Package wasmbin reads WebAssembly binaries strictly and decides which ones
// are admitted.
//
// Start with [Admit]: it describes a module, or says why it is refused.
// [Admission] is Admit for a module that is still arriving. [Read] returns the
// parts of a module to those that check or rewrite it, and [Code] the
// instructions of its functions.
//
// # Promises
//
//   - Bytes are never trusted: every length and count is checked against the
//     bytes that remain, and against a cap, before anything is allocated.
//     Memory stays within a small multiple of the module's size; no input
//     causes a panic.
//   - Every section is read to its last byte, and every index refers to
//     something that exists. [Read] does not look at instructions; [Code] and
//     [Admit] do. Nothing here checks the types of operands, so a compiler
//     still has to validate function bodies.
//   - An error is a [*fault.Error] with a stable reason, the offset where
//     reading stopped, and a fix.
//   - Nothing here runs a module or holds global state, and nothing keeps a
//     reference to the caller's bytes after it returned (except an Admission, and
//     fields that say so).
//
// See "Why our own reader of Wasm?" in docs/RATIONALE.md.
package wasmbin

import "math"

// PageSize is the unit of a memory's size, in bytes.
const PageSize = 65536

// maxPages is the most that 32 bits can address: 4 GiB.
const maxPages = 65536

// Module is a decoded module. Offsets count from the start of the file.
type Module struct {
	// Sections in the order of the file, including custom ones.
	Sections []Section
	Types    []FuncType
	Imports  []Import
	// Functions holds the type index of each function that the module defines. In
	// the index space, imported functions come first.
	Functions []uint32
	Tables    []Table
	Memories  []Memory
	Globals   []Global
	Exports   []Export
	// Start is the function that runs at instantiation, or nil.
	Start *uint32
	// Elements and Data count the segments.
	Elements int
	Data     int
	// Bodies has one entry for each entry of Functions.
	Bodies []Body

	importedFuncs []uint32 // type indexes
	importedTable int
	importedMem   int
	importedGlob  int
	dataCount     *uint32
}

// Section is the place of one section. Name is set for custom sections only.
type Section struct {
	ID     byte
	Name   string
	Offset int64 // of the first byte after the section's size
	Size   int
}

// Section numbers.
const (
	SectionCustom byte = iota
	SectionType
	SectionImport
	SectionFunction
	SectionTable
	SectionMemory
	SectionGlobal
	SectionExport
	SectionStart
	SectionElement
	SectionCode
	SectionData
	SectionDataCount
	SectionTag
)

// ValType is a value type as it is encoded.
type ValType byte

// The value types of WebAssembly 2.0.
const (
	I32       ValType = 0x7f
	I64       ValType = 0x7e
	F32       ValType = 0x7d
	F64       ValType = 0x7c
	V128      ValType = 0x7b
	FuncRef   ValType = 0x70
	ExternRef ValType = 0x6f
)

// FuncType is a function's signature.
type FuncType struct {
	Params, Results []ValType
}

// Kind is the kind of an import or an export.
type ExternKind byte

// The kinds.
const (
	ExternFunc ExternKind = iota
	ExternTable
	ExternMemory
	ExternGlobal
)

// Import is one import. Type is its type index if Kind is a function.
type Import struct {
	Module, Name string
	Kind         ExternKind
	Type         uint32
}

// Export is one export.
type Export struct {
	Name  string
	Kind  ExternKind
	Index uint32
}

// Range holds the limits of a table (elements) or a memory (pages). Max counts
// only if HasMax is set.
type Range struct {
	Min, Max uint64
	HasMax   bool
}

// Table is a table that the module defines.
type Table struct {
	Type ValType
	Range
}

// Memory is a memory that the module defines, in pages.
type Memory struct {
	Range
	Shared, Is64 bool
}

// Global is a global that the module defines.
type Global struct {
	Type    ValType
	Mutable bool
}

// Body is the place of a function's code: its locals and instructions.
type Body struct {
	Offset int64 // of the first byte after the body's size
	Size   int
	Locals uint64 // declared, parameters not counted
	Code   int64  // offset of the first instruction
}

// NumFunctions returns the size of the function index space: imported and
// defined.
func (m *Module) NumFunctions() int { return len(m.importedFuncs) + len(m.Functions) }

// FuncType returns the signature of the function at an index, imported
// functions first. ok is false if there is no such function.
func (m *Module) FuncType(index uint32) (t FuncType, ok bool) {
	typ := uint32(math.MaxUint32)
	switch n := uint32(len(m.importedFuncs)); {
	case index < n:
		typ = m.importedFuncs[index]
	case uint64(index-n) < uint64(len(m.Functions)):
		typ = m.Functions[index-n]
	}
	if uint64(typ) >= uint64(len(m.Types)) {
		return FuncType{}, false
	}
	return m.Types[typ], true
}

// Export returns the export with this name, or nil.
func (m *Module) Export(name string) *Export {
	for i := range m.Exports {
		if m.Exports[i].Name == name {
			return &m.Exports[i]
		}
	}
	return nil
}

// Read decodes a module. Its caps are those of the large engines, not those of
// [Limits]: use [Admit] for untrusted modules.
func Read(b []byte) (*Module, error) {
	if err := header(b); err != nil {
		return nil, err
	}
	return read(b, engineCaps(), &Admission{file: b, got: len(b)}, nil)
}
