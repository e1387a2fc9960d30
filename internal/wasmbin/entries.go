package wasmbin

import "github.com/ruedo-dev/ruedo/internal/fault"

func (d *decoder) imports(r *Reader) error {
	n, err := r.Count(4, d.max.imports, "imports")
	if err != nil {
		return err
	}
	d.m.Imports = make([]Import, 0, n)
	for range n {
		var im Import
		if im.Module, err = d.name(r); err != nil {
			return err
		}
		if im.Name, err = d.name(r); err != nil {
			return err
		}
		at := r.Offset()
		kind, err := r.Byte()
		if err != nil {
			return err
		}
		im.Kind = ExternKind(kind)
		switch im.Kind {
		case ExternFunc:
			if im.Type, err = d.typeIndex(r); err != nil {
				return err
			}
			d.m.importedFuncs = append(d.m.importedFuncs, im.Type)
		case ExternTable:
			if _, err = tableType(r); err != nil {
				return err
			}
			d.m.importedTable++
		case ExternMemory:
			if _, err = memoryType(r); err != nil {
				return err
			}
			d.m.importedMem++
		case ExternGlobal:
			if _, err = globalType(r); err != nil {
				return err
			}
			d.m.importedGlob++
		case 4:
			return unsupported(at, "the module imports a tag: exceptions are not supported")
		default:
			return malformed(at, "unknown kind of import 0x%02x", kind)
		}
		d.m.Imports = append(d.m.Imports, im)
	}
	return nil
}

func (d *decoder) typeIndex(r *Reader) (uint32, error) {
	at := r.Offset()
	i, err := r.U32()
	if err == nil && uint64(i) >= uint64(len(d.m.Types)) {
		return 0, malformed(at, "type %d does not exist: there are %d", i, len(d.m.Types))
	}
	return i, err
}

func (d *decoder) functions(r *Reader) error {
	n, err := r.Count(1, d.max.functions, "functions")
	if err != nil {
		return limited(err, fault.WasmLimitFunctions)
	}
	d.m.Functions = make([]uint32, n)
	for i := range d.m.Functions {
		if d.m.Functions[i], err = d.typeIndex(r); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) tables(r *Reader) error {
	n, err := r.Count(3, d.max.tables, "tables")
	if err != nil {
		return limited(err, fault.WasmLimitTable)
	}
	var total uint64
	for range n {
		at := r.Offset()
		if r.there(1) && r.b[r.pos] == 0x40 {
			return unsupported(at, "the module has a table with an initial value")
		}
		t, err := tableType(r)
		if err != nil {
			return err
		}
		if total += t.Min; total > d.max.tableMin {
			return limited(overLimit(at, "tables too large (elements)", total, d.max.tableMin), fault.WasmLimitTable)
		}
		d.m.Tables = append(d.m.Tables, t)
	}
	return nil
}

func (d *decoder) memories(r *Reader) error {
	n, err := r.Count(2, d.max.memories, "memories")
	if err != nil {
		return err
	}
	for range n {
		m, err := memoryType(r)
		if err != nil {
			return err
		}
		d.m.Memories = append(d.m.Memories, m)
	}
	return nil
}

func (d *decoder) globals(r *Reader) error {
	n, err := r.Count(4, d.max.globals, "globals")
	if err != nil {
		return limited(err, fault.WasmLimitGlobals)
	}
	d.m.Globals = make([]Global, 0, n)
	for range n {
		g, err := globalType(r)
		if err != nil {
			return err
		}
		if err := d.constExpr(r); err != nil {
			return err
		}
		d.m.Globals = append(d.m.Globals, g)
	}
	return nil
}

// size returns how many entries of a kind the module has, including imported
// ones.
func (d *decoder) size(k ExternKind) int {
	switch k {
	case ExternFunc:
		return d.m.NumFunctions()
	case ExternTable:
		return d.m.importedTable + len(d.m.Tables)
	case ExternMemory:
		return d.m.importedMem + len(d.m.Memories)
	case ExternGlobal:
		return d.m.importedGlob + len(d.m.Globals)
	}
	return 0
}

// index reads the index of something that exists.
func (d *decoder) index(r *Reader, k ExternKind) (uint32, error) {
	at := r.Offset()
	i, err := r.U32()
	if err == nil && uint64(i) >= uint64(d.size(k)) {
		return 0, malformed(at, "%s %d does not exist: there are %d", k, i, d.size(k))
	}
	return i, err
}

// String returns the name of a kind.
func (k ExternKind) String() string {
	switch k {
	case ExternFunc:
		return "function"
	case ExternTable:
		return "table"
	case ExternMemory:
		return "memory"
	case ExternGlobal:
		return "global"
	}
	return "thing"
}

func (d *decoder) exports(r *Reader) error {
	n, err := r.Count(3, d.max.exports, "exports")
	if err != nil {
		return err
	}
	d.m.Exports = make([]Export, 0, n)
	seen := make(map[string]bool, n)
	for range n {
		at := r.Offset()
		var x Export
		if x.Name, err = d.name(r); err != nil {
			return err
		}
		if seen[x.Name] {
			return malformed(at, "two exports have the name %s", printable(x.Name))
		}
		seen[x.Name] = true
		at = r.Offset()
		kind, err := r.Byte()
		if err != nil {
			return err
		}
		if kind == 4 {
			return unsupported(at, "the module exports a tag: exceptions are not supported")
		}
		if kind > byte(ExternGlobal) {
			return malformed(at, "unknown kind of export 0x%02x", kind)
		}
		x.Kind = ExternKind(kind)
		if x.Index, err = d.index(r, x.Kind); err != nil {
			return err
		}
		d.m.Exports = append(d.m.Exports, x)
	}
	return nil
}

func (d *decoder) start(r *Reader) error {
	at := r.Offset()
	i, err := d.index(r, ExternFunc)
	if err != nil {
		return err
	}
	if t, _ := d.m.FuncType(i); len(t.Params)+len(t.Results) != 0 {
		return malformed(at, "the start function has the signature %s; it must take and return nothing", t)
	}
	d.m.Start = &i
	return nil
}

// elements skips over the segments; flag bits: 1 not active, 2 explicit table
// or declarative, 4 expressions in place of indexes.
func (d *decoder) elements(r *Reader) error {
	n, err := r.Count(2, d.max.elements, "element segments")
	if err != nil {
		return err
	}
	for range n {
		at := r.Offset()
		flags, err := r.U32()
		if err != nil {
			return err
		}
		if flags > 7 {
			return malformed(at, "unknown flags of an element segment 0x%x", flags)
		}
		if flags&1 == 0 {
			if flags&2 != 0 {
				_, err = d.index(r, ExternTable)
			} else if d.size(ExternTable) == 0 {
				err = malformed(at, "an element segment without a table")
			}
			if err != nil {
				return err
			}
			if err := d.constExpr(r); err != nil {
				return err
			}
		}
		if flags&3 != 0 {
			if flags&4 != 0 {
				_, err = refType(r)
			} else {
				err = d.zero(r, "kind of elements")
			}
			if err != nil {
				return err
			}
		}
		k, err := r.Count(1, uint64(r.Len()), "elements")
		if err != nil {
			return err
		}
		for range k {
			if flags&4 != 0 {
				err = d.constExpr(r)
			} else {
				_, err = d.index(r, ExternFunc)
			}
			if err != nil {
				return err
			}
		}
	}
	d.m.Elements = n
	return nil
}

func (d *decoder) zero(r *Reader, what string) error {
	at := r.Offset()
	c, err := r.Byte()
	if err == nil && c != 0 {
		return malformed(at, "unknown %s 0x%02x", what, c)
	}
	return err
}

func (d *decoder) data(r *Reader) error {
	n, err := r.Count(2, d.max.data, "data segments")
	if err != nil {
		return err
	}
	for range n {
		at := r.Offset()
		flags, err := r.U32()
		if err != nil {
			return err
		}
		if flags > 2 {
			return malformed(at, "unknown flags of a data segment 0x%x", flags)
		}
		if flags != 1 {
			if flags == 2 {
				_, err = d.index(r, ExternMemory)
			} else if d.size(ExternMemory) == 0 {
				err = malformed(at, "a data segment without a memory")
			}
			if err != nil {
				return err
			}
			if err := d.constExpr(r); err != nil {
				return err
			}
		}
		size, err := r.U32()
		if err != nil {
			return err
		}
		if _, err := r.Bytes(uint64(size)); err != nil {
			return err
		}
	}
	d.m.Data = n
	return nil
}

// constExpr skips a constant expression, including its end. A compiler
// validates its types.
func (d *decoder) constExpr(r *Reader) error {
	for {
		at := r.Offset()
		op, err := r.Byte()
		if err != nil {
			return err
		}
		switch op {
		case 0x0b: // end
			return nil
		case 0x41: // i32.const
			_, err = r.I32()
		case 0x42: // i64.const
			_, err = r.I64()
		case 0x43: // f32.const
			_, err = r.Bytes(4)
		case 0x44: // f64.const
			_, err = r.Bytes(8)
		case 0x23: // global.get
			_, err = d.index(r, ExternGlobal)
		case 0xd0: // ref.null
			_, err = refType(r)
		case 0xd2: // ref.func
			_, err = d.index(r, ExternFunc)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // extended constants
		case 0xfd: // v128.const
			var sub uint32
			if sub, err = r.U32(); err == nil && sub != 12 {
				err = malformed(at, "an instruction in a constant expression that is not constant")
			}
			if err == nil {
				_, err = r.Bytes(16)
			}
		default:
			err = malformed(at, "instruction 0x%02x in a constant expression", op)
		}
		if err != nil {
			return err
		}
	}
}
