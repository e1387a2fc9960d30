package instrument

import "github.com/ruedo-dev/ruedo/internal/wasmbin"

// rewriter is the state of one rewrite. Indexes are those of the original
// module unless a name says otherwise.
type rewriter struct {
	m    *wasmbin.Module
	file []byte
	o    Options
	res  *Result

	imported uint32 // functions that the module imports
	funcs    uint32 // all functions
	globals  uint32 // all globals

	sections [wasmbin.SectionTag + 1]*wasmbin.Section
	leaf     []bool // of defined functions: has no charge and calls nothing
	helpers  []helper
	scan     scan
}

func newRewriter(m *wasmbin.Module, file []byte, o Options) *rewriter {
	rw := &rewriter{m: m, file: file, o: o, res: &Result{}}
	rw.funcs = uint32(m.NumFunctions())
	rw.imported = rw.funcs - uint32(len(m.Functions))
	rw.globals = uint32(len(m.Globals))
	for _, im := range m.Imports {
		if im.Kind == wasmbin.ExternGlobal {
			rw.globals++
		}
	}
	for i := range m.Sections {
		if s := &m.Sections[i]; s.ID != wasmbin.SectionCustom {
			rw.sections[s.ID] = s
		}
	}
	return rw
}

// shift returns the index of a function after refuel was inserted behind the
// imported functions.
func (rw *rewriter) shift(function uint32) uint32 {
	if rw.o.Meter && function >= rw.imported {
		return function + 1
	}
	return function
}

// Indexes of the additions of metering, in the new module.
func (rw *rewriter) fuel() uint32   { return rw.globals }
func (rw *rewriter) refuel() uint32 { return rw.imported }

func (rw *rewriter) run() (*Result, error) {
	// The code goes first, because it determines which helpers are needed.
	code, err := rw.code()
	if err != nil {
		return nil, err
	}
	return rw.assemble(code)
}

// assemble writes the module around a new code section.
func (rw *rewriter) assemble(code []byte) (*Result, error) {
	out := make([]byte, 0, len(code)+len(rw.file)/8+4096)
	out = append(out, rw.file[:8]...)
	for _, s := range []struct {
		id    byte
		write func() ([]byte, error)
	}{
		{wasmbin.SectionType, rw.types},
		{wasmbin.SectionImport, rw.imports},
		{wasmbin.SectionFunction, rw.functions},
		{wasmbin.SectionTable, rw.tables},
		{wasmbin.SectionMemory, rw.memories},
		{wasmbin.SectionGlobal, rw.globalSection},
		{wasmbin.SectionExport, rw.exports},
		{wasmbin.SectionElement, rw.elements},
		{wasmbin.SectionDataCount, rw.dataCount},
		{wasmbin.SectionCode, func() ([]byte, error) { return code, nil }},
		{wasmbin.SectionData, rw.data},
	} {
		body, err := s.write()
		if err != nil {
			return nil, err
		}
		if body != nil {
			out = appendSection(out, s.id, body)
		}
	}
	rw.res.Wasm = rw.names(out)
	rw.state()
	return rw.res, nil
}

// section reads a section of the original module; ok is false if there is none.
func (rw *rewriter) section(id byte) (r *wasmbin.Reader, ok bool) {
	if s := rw.sections[id]; s != nil {
		return s.Reader(rw.file), true
	}
	return nil, false
}

// extend returns a section with n more entries, encoded in more.
func (rw *rewriter) extend(id byte, n int, more []byte) ([]byte, error) {
	r, ok := rw.section(id)
	if !ok {
		if n == 0 {
			return nil, nil
		}
		return append(appendU32(nil, uint32(n)), more...), nil
	}
	old, err := r.U32()
	if err != nil {
		return nil, err
	}
	rest, err := r.Bytes(uint64(r.Len()))
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(rest)+len(more)+5)
	return append(append(appendU32(out, old+uint32(n)), rest...), more...), nil
}

// since returns the bytes of the file from an offset to the position of r.
func (rw *rewriter) since(offset int64, r *wasmbin.Reader) []byte {
	return rw.file[offset:r.Offset()]
}
