package wasmbin

import (
	"bytes"
	"fmt"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// caps bound what read allocates.
type caps struct {
	sections, names, types, imports, functions, tables, memories, globals, exports, elements, data uint64
	params, locals, body, tableMin                                                                 uint64
}

// engineCaps are the limits that the large engines have agreed on.
func engineCaps() caps {
	return caps{
		sections: 100_000, names: 1 << 30,
		types: 1_000_000, imports: 100_000, functions: 1_000_000, tables: 100, memories: 100,
		globals: 1_000_000, exports: 100_000, elements: 1_000_000, data: 100_000,
		params: 1_000, locals: 50_000, body: 7_654_321, tableMin: 10_000_000,
	}
}

// rank is the required order of the sections; 0 for custom ones.
func rank(id byte) int {
	switch id {
	case SectionType, SectionImport, SectionFunction, SectionTable, SectionMemory:
		return int(id)
	case SectionTag:
		return 6
	case SectionGlobal, SectionExport, SectionStart, SectionElement:
		return int(id) + 1
	case SectionDataCount:
		return 11
	case SectionCode, SectionData:
		return int(id) + 2
	}
	return 0
}

func sectionName(id byte) string {
	switch id {
	case SectionType:
		return "the type section"
	case SectionImport:
		return "the import section"
	case SectionFunction:
		return "the function section"
	case SectionTable:
		return "the table section"
	case SectionMemory:
		return "the memory section"
	case SectionGlobal:
		return "the global section"
	case SectionExport:
		return "the export section"
	case SectionStart:
		return "the start section"
	case SectionElement:
		return "the element section"
	case SectionCode:
		return "the code section"
	case SectionData:
		return "the data section"
	case SectionDataCount:
		return "the data count section"
	case SectionTag:
		return "the tag section"
	}
	return "a custom section"
}

// decoder holds the state that sections share while they are read.
type decoder struct {
	m         *Module
	max       caps
	file      []byte
	admission *Admission
	walk      *walk  // nil if the code is not walked
	names     uint64 // bytes of names so far
}

// read decodes the file of an admission whose header has arrived and is correct.
func read(b []byte, max caps, a *Admission, w *walk) (*Module, error) {
	d := &decoder{m: &Module{}, max: max, file: b, admission: a, walk: w}
	r := &Reader{b: b, pos: 8, admission: a}
	last := 0
	for r.Len() > 0 {
		at := r.Offset()
		id, err := r.Byte()
		if err != nil {
			return nil, err
		}
		if uint64(len(d.m.Sections)) >= d.max.sections {
			return nil, overLimit(at, "too many sections", uint64(len(d.m.Sections))+1, d.max.sections)
		}
		if id > SectionTag {
			return nil, malformed(at, "unknown section %d", id)
		}
		size, err := r.U32()
		if err != nil {
			return nil, err
		}
		s, err := r.Sub(uint64(size))
		if err != nil {
			return nil, err
		}
		if k := rank(id); k != 0 {
			if k == last {
				return nil, malformed(at, "%s stands twice", sectionName(id))
			}
			if k < last {
				return nil, malformed(at, "%s stands in the wrong place", sectionName(id))
			}
			last = k
		}
		sec := Section{ID: id, Offset: s.Offset(), Size: int(size)}
		if id == SectionCustom {
			// The rest of a custom section is not checked.
			if sec.Name, err = d.name(s); err != nil {
				return nil, err
			}
		} else {
			if err := d.section(id, s); err != nil {
				return nil, err
			}
			if err := s.End(sectionName(id)); err != nil {
				return nil, err
			}
		}
		d.m.Sections = append(d.m.Sections, sec)
	}
	return d.m, d.whole(int64(len(b)))
}

// name reads a name. The total size of all names is bounded.
func (d *decoder) name(r *Reader) (string, error) {
	b, at, err := r.sized()
	if err != nil {
		return "", err
	}
	if d.names += uint64(len(b)); d.names > d.max.names {
		return "", overLimit(at, "names that are too long (bytes in all)", d.names, d.max.names)
	}
	return utf8Name(b, at)
}

// whole checks what only the whole module can show.
func (d *decoder) whole(end int64) error {
	m := d.m
	if len(m.Functions) != len(m.Bodies) {
		return malformed(end, "%d functions are declared and %d have a body", len(m.Functions), len(m.Bodies))
	}
	if m.dataCount != nil && uint64(*m.dataCount) != uint64(m.Data) {
		return malformed(end, "%d data segments are announced and %d are there", *m.dataCount, m.Data)
	}
	return nil
}

func (d *decoder) section(id byte, r *Reader) error {
	switch id {
	case SectionType:
		return d.types(r)
	case SectionImport:
		return d.imports(r)
	case SectionFunction:
		return d.functions(r)
	case SectionTable:
		return d.tables(r)
	case SectionMemory:
		return d.memories(r)
	case SectionGlobal:
		return d.globals(r)
	case SectionExport:
		return d.exports(r)
	case SectionStart:
		return d.start(r)
	case SectionElement:
		return d.elements(r)
	case SectionCode:
		return d.code(r)
	case SectionData:
		return d.data(r)
	case SectionDataCount:
		n, err := r.U32()
		d.m.dataCount = &n
		return err
	}
	return unsupported(r.Offset(), "the module has %s: exceptions are not supported", sectionName(id))
}

func (d *decoder) types(r *Reader) error {
	n, err := r.Count(3, d.max.types, "types")
	if err != nil {
		return limited(err, fault.WasmLimitTypes)
	}
	d.m.Types = make([]FuncType, 0, n)
	for range n {
		at := r.Offset()
		form, err := r.Byte()
		if err != nil {
			return err
		}
		switch form {
		case 0x60:
		case 0x4e, 0x4f, 0x50, 0x5e, 0x5f:
			return unsupported(at, "the module declares types of the garbage collection proposal (form 0x%02x)", form)
		default:
			return malformed(at, "unknown form of type 0x%02x", form)
		}
		var t FuncType
		if t.Params, err = d.valTypes(r, "parameters"); err != nil {
			return err
		}
		if t.Results, err = d.valTypes(r, "results"); err != nil {
			return err
		}
		d.m.Types = append(d.m.Types, t)
	}
	return nil
}

func (d *decoder) valTypes(r *Reader, what string) ([]ValType, error) {
	n, err := r.Count(1, d.max.params, what)
	if err != nil || n == 0 {
		return nil, err
	}
	ts := make([]ValType, n)
	for i := range ts {
		if ts[i], err = valType(r); err != nil {
			return nil, err
		}
	}
	return ts, nil
}

func valType(r *Reader) (ValType, error) {
	at := r.Offset()
	c, err := r.Byte()
	if err != nil {
		return 0, err
	}
	switch t := ValType(c); {
	case t == I32, t == I64, t == F32, t == F64, t == V128, t == FuncRef, t == ExternRef:
		return t, nil
	case c >= 0x63 && c <= 0x74:
		return 0, unsupported(at, "the module uses a reference type (0x%02x) of a proposal that is not supported", c)
	}
	return 0, malformed(at, "unknown value type 0x%02x", c)
}

func refType(r *Reader) (ValType, error) {
	at := r.Offset()
	t, err := valType(r)
	if err == nil && t != FuncRef && t != ExternRef {
		return 0, malformed(at, "%s is not a reference type", t)
	}
	return t, err
}

// limits of a table or a memory; flag bits: 1 maximum, 2 shared, 4 64-bit.
func limits(r *Reader) (g Range, flags byte, err error) {
	at := r.Offset()
	if flags, err = r.Byte(); err != nil {
		return g, 0, err
	}
	if flags > 7 {
		if flags == 8 || flags == 9 {
			return g, 0, unsupported(at, "the module asks for a custom page size")
		}
		return g, 0, malformed(at, "unknown flags of limits 0x%02x", flags)
	}
	next := func() (uint64, error) {
		if flags&4 != 0 {
			return r.U64()
		}
		v, err := r.U32()
		return uint64(v), err
	}
	if g.Min, err = next(); err != nil {
		return g, 0, err
	}
	if flags&1 != 0 {
		g.HasMax = true
		if g.Max, err = next(); err != nil {
			return g, 0, err
		}
		if g.Max < g.Min {
			return g, 0, malformed(at, "a maximum of %d is below the minimum of %d", g.Max, g.Min)
		}
	}
	return g, flags, nil
}

func tableType(r *Reader) (t Table, err error) {
	at := r.Offset()
	if t.Type, err = refType(r); err != nil {
		return t, err
	}
	var flags byte
	if t.Range, flags, err = limits(r); err != nil {
		return t, err
	}
	if flags&^1 != 0 {
		return t, unsupported(at, "the module has a table that is shared or 64-bit")
	}
	return t, nil
}

func memoryType(r *Reader) (m Memory, err error) {
	at := r.Offset()
	var flags byte
	if m.Range, flags, err = limits(r); err != nil {
		return m, err
	}
	m.Shared, m.Is64 = flags&2 != 0, flags&4 != 0
	if m.Shared && !m.HasMax {
		return m, malformed(at, "a shared memory has no maximum")
	}
	if !m.Is64 && (m.Min > maxPages || m.HasMax && m.Max > maxPages) {
		return m, malformed(at, "a memory of more than %d pages", maxPages)
	}
	return m, nil
}

func globalType(r *Reader) (g Global, err error) {
	if g.Type, err = valType(r); err != nil {
		return g, err
	}
	at := r.Offset()
	mut, err := r.Byte()
	if err != nil {
		return g, err
	}
	if mut > 1 {
		return g, malformed(at, "unknown mutability 0x%02x", mut)
	}
	g.Mutable = mut == 1
	return g, nil
}

func (d *decoder) code(r *Reader) error {
	n, err := r.Count(3, d.max.functions, "function bodies")
	if err != nil {
		return limited(err, fault.WasmLimitFunctions)
	}
	if n != len(d.m.Functions) {
		return malformed(r.Offset(), "%d functions are declared and %d have a body", len(d.m.Functions), n)
	}
	d.m.Bodies = make([]Body, 0, n)
	if d.walk != nil {
		d.walk.begin(d.m, d.file)
	}
	for range n {
		at := r.Offset()
		size, err := r.U32()
		if err != nil {
			return err
		}
		if uint64(size) > d.max.body {
			return d.overBody(fault.WasmLimitBody, at, "has "+text.Over(uint64(size), d.max.body)+" of code", text.Size(d.max.body))
		}
		s, err := r.Sub(uint64(size))
		if err != nil {
			return err
		}
		body := Body{Offset: s.Offset(), Size: int(size)}
		// Locals are run-length encoded: a few bytes can make a compiler allocate
		// gigabytes, so they are summed here, in 64 bits.
		groups, err := s.Count(2, uint64(s.Len()), "groups of locals")
		if err != nil {
			return err
		}
		for range groups {
			at := s.Offset()
			k, err := s.U32()
			if err != nil {
				return err
			}
			if body.Locals += uint64(k); body.Locals > d.max.locals {
				return d.overBody(fault.WasmLimitLocals, at, fmt.Sprint("has too many locals: ", body.Locals), d.max.locals)
			}
			if _, err := valType(s); err != nil {
				return err
			}
		}
		body.Code = s.Offset()
		d.m.Bodies = append(d.m.Bodies, body)
		if d.walk != nil {
			d.walk.ahead()
		}
		rest, err := s.Bytes(uint64(s.Len()))
		if err != nil {
			return err
		}
		if !bytes.HasSuffix(rest, []byte{0x0b}) {
			return malformed(r.Offset(), "a function body does not end with `end`")
		}
	}
	return nil
}
