package wasmbin

import "github.com/ruedo-dev/ruedo/internal/fault"

// alignment is the natural alignment of each load and store, as a power of two.
const alignment = "\x02\x03\x02\x03\x00\x00\x01\x01\x00\x00\x01\x01\x02\x02\x02\x03\x02\x03\x00\x01\x00\x01\x02"

// Instr is one instruction. Which fields count depends on Op.
type Instr struct {
	Op Op
	// Start and End are the offsets of the instruction in the file.
	Start, End int
	// Index refers to a function, type, local, global, table, segment or label (0
	// is the innermost block). If there are two indexes, it is the one of the
	// target.
	Index uint32
	// Index2 is the table of call_indirect and table.init, the source of
	// table.copy.
	Index2 uint32
	// Value is the constant of i32.const and i64.const, and the type of block,
	// loop and if: [EmptyBlock], another negative number for a value type, or
	// the index of a signature.
	Value int64
	// Labels are those of br_table, the default last. Next reuses the slice.
	Labels []uint32
}

// EmptyBlock is the type of a block without parameters or results.
const EmptyBlock int64 = -64

// Code walks the instructions of function bodies, one after the other, without
// allocating for each:
//
//	code := wasmbin.NewCode(m, file)
//	for i := range m.Bodies {
//		code.Open(i)
//		for code.Next() {
//			// code.Op, code.Index ...
//		}
//		if err := code.Err(); err != nil {
//			return err
//		}
//	}
//
// It accepts the instructions of WebAssembly 2.0 and tail calls. It checks that
// every index refers to something, that blocks are balanced, and that
// alignments and lanes are possible. It does not check the types of operands:
// only a compiler can tell that a body is valid.
//
// A copy of a Code can be used to look ahead: walk the copy and then discard
// it; the original stays where it is.
type Code struct {
	Instr

	m        *Module
	b        []byte // the file up to the end of the body
	pos      int
	ctrl     []byte // the opcode of each open block; the function's own first
	labels   []uint32
	function int
	locals   uint64
	err      error
	file     []byte

	funcs, types, globals, tables, elems uint32
	memories                             int

	// Bounds of Admit; 0 means only the size of the file bounds it.
	maxNesting, maxTargets int
}

// NewCode returns a Code for the bodies of a module that was read from file.
func NewCode(m *Module, file []byte) *Code {
	return &Code{
		m:        m,
		file:     file,
		funcs:    uint32(m.NumFunctions()),
		types:    uint32(len(m.Types)),
		globals:  uint32(m.importedGlob + len(m.Globals)),
		tables:   uint32(m.importedTable + len(m.Tables)),
		elems:    uint32(m.Elements),
		memories: m.importedMem + len(m.Memories),
	}
}

// Open starts the i-th of the module's Bodies.
func (c *Code) Open(i int) {
	body := c.m.Bodies[i]
	c.function, c.err = i, nil
	c.pos = int(body.Code)
	c.b = c.file[:int(body.Offset)+body.Size]
	c.ctrl = append(c.ctrl[:0], byte(OpBlock))
	c.locals = body.Locals + uint64(len(c.m.Types[c.m.Functions[i]].Params))
}

// Err returns the error in the body, or nil.
func (c *Code) Err() error { return c.err }

// Depth returns the number of blocks that are open after the instruction,
// including the function's own: 0 after the last `end`.
func (c *Code) Depth() int { return len(c.ctrl) }

// Function returns the index of the function in the module's index space.
func (c *Code) Function() uint32 { return uint32(len(c.m.importedFuncs) + c.function) }

// Locals returns the number of the function's locals, including its parameters.
func (c *Code) Locals() uint64 { return c.locals }

// Next reads the next instruction. It returns false after the last one, and if
// the body is malformed: then Err returns the reason.
func (c *Code) Next() bool {
	if len(c.ctrl) == 0 {
		return false
	}
	c.Start = c.pos
	if c.pos >= len(c.b) {
		c.fail("unexpected end")
		return false
	}
	op := Op(c.b[c.pos])
	c.pos++
	switch {
	case op >= OpLocalGet && op <= OpLocalTee:
		if c.Index = c.u32(); uint64(c.Index) >= c.locals {
			c.missing("local", c.locals)
		}
	case op >= 0x45 && op <= 0xc4, op == OpDrop, op == OpSelect, op == OpNop, op == OpUnreachable, op == OpReturn, op == OpRefIsNull:
	case op == OpI32Const:
		c.Value = c.signed(32)
	case op == OpI64Const:
		c.Value = c.signed(64)
	case op >= OpI32Load && op <= OpI64Store32:
		c.memory(uint32(alignment[op-OpI32Load]))
	default:
		op = c.rest(op)
	}
	c.Op, c.End = op, c.pos
	return c.err == nil
}

// rest reads the instructions that are less frequent.
func (c *Code) rest(op Op) Op {
	switch op {
	case OpBlock, OpLoop, OpIf:
		c.block(op)
	case OpElse:
		if top := len(c.ctrl) - 1; Op(c.ctrl[top]) != OpIf {
			c.fail("`else` without `if`")
		} else {
			c.ctrl[top] = byte(OpElse)
		}
	case OpEnd:
		c.ctrl = c.ctrl[:len(c.ctrl)-1]
		if len(c.ctrl) == 0 && c.pos != len(c.b) {
			c.fail("%d bytes are left over after its end", len(c.b)-c.pos)
		}
	case OpBr, OpBrIf:
		c.Index = c.label()
	case OpBrTable:
		c.branches()
	case OpCall, OpReturnCall, OpRefFunc:
		if c.Index = c.u32(); c.Index >= c.funcs {
			c.missing("function", uint64(c.funcs))
		}
	case OpCallIndirect, OpReturnCallIndirect:
		c.Index = c.typeIndex()
		c.Index2 = c.table()
	case OpSelectTyped:
		if n := c.u32(); n != 1 {
			c.fail("`select` with %d types", n)
		}
		c.valType()
	case OpGlobalGet, OpGlobalSet:
		if c.Index = c.u32(); c.Index >= c.globals {
			c.missing("global", uint64(c.globals))
		}
	case OpTableGet, OpTableSet:
		c.Index = c.table()
	case OpMemorySize, OpMemoryGrow:
		c.memoryZero()
	case OpF32Const:
		c.skip(4)
	case OpF64Const:
		c.skip(8)
	case OpRefNull:
		c.refType()
	case 0xfc:
		return c.bulk()
	case 0xfd:
		return c.vector()
	default:
		c.unknown(op)
	}
	return op
}

func (c *Code) block(op Op) {
	if c.pos < len(c.b) && c.b[c.pos]&0xc0 == 0x40 { // negative, in one byte
		t := c.b[c.pos]
		c.pos++
		c.Value = int64(t) - 0x80
		switch {
		case isValType(t), c.Value == EmptyBlock:
		case t >= 0x63 && t <= 0x74:
			c.refuse("a block of type 0x%02x belongs to a proposal that is not supported", t)
		default:
			c.fail("unknown type of a block 0x%02x", t)
		}
	} else if c.Value = c.signed(33); c.Value < 0 || c.Value >= int64(c.types) {
		c.fail("a block has type %d, which does not exist: there are %d", c.Value, c.types)
	}
	if c.maxNesting > 0 && len(c.ctrl) > c.maxNesting {
		c.over(fault.WasmLimitNesting, "nests blocks %d deep", len(c.ctrl), c.maxNesting)
		return
	}
	c.ctrl = append(c.ctrl, byte(op))
}

func (c *Code) label() uint32 {
	i := c.u32()
	if uint64(i) >= uint64(len(c.ctrl)) {
		c.Index = i
		c.missing("label", uint64(len(c.ctrl)))
	}
	return i
}

func (c *Code) branches() {
	n := c.u32()
	if c.maxTargets > 0 && uint64(n) > uint64(c.maxTargets) {
		c.over(fault.WasmLimitBrTable, "has a br_table of %d targets", int(n), c.maxTargets)
		return
	}
	if uint64(n) > uint64(len(c.b)-c.pos) {
		c.fail("a br_table of %d targets is announced and %d bytes remain", n, len(c.b)-c.pos)
		return
	}
	c.labels = c.labels[:0]
	for range uint64(n) + 1 {
		if c.labels = append(c.labels, c.label()); c.err != nil {
			return
		}
	}
	c.Labels = c.labels
}

func (c *Code) typeIndex() uint32 {
	i := c.u32()
	if i >= c.types {
		c.Index = i
		c.missing("type", uint64(c.types))
	}
	return i
}

func (c *Code) table() uint32 {
	i := c.u32()
	if i >= c.tables {
		c.Index = i
		c.missing("table", uint64(c.tables))
	}
	return i
}

// memory reads the alignment and the offset of a load or a store.
func (c *Code) memory(natural uint32) {
	align := c.u32()
	c.u32()
	switch {
	case align > natural && align >= 64 && align < 128:
		c.refuse("it uses more than one memory")
	case align > natural:
		c.fail("an alignment of 2^%d is above the natural one, 2^%d", align, natural)
	case c.memories == 0:
		c.fail("it uses a memory and the module has none")
	}
}

func (c *Code) memoryZero() {
	if i := c.byte(); i != 0 {
		c.fail("memory 0x%02x is named; only 0 can be", i)
	} else if c.memories == 0 {
		c.fail("it uses a memory and the module has none")
	}
}

// bulk reads what follows the prefix 0xfc.
func (c *Code) bulk() Op {
	sub := c.u32()
	op := Op(0xfc00 | sub&0xff)
	if sub > 0xff {
		c.fail("unknown instruction 0xfc 0x%x", sub)
		return op
	}
	switch op {
	case OpMemoryInit:
		c.Index = c.data()
		c.memoryZero()
	case OpDataDrop:
		c.Index = c.data()
	case OpMemoryCopy:
		c.memoryZero()
		c.memoryZero()
	case OpMemoryFill:
		c.memoryZero()
	case OpTableInit:
		c.Index = c.elem()
		c.Index2 = c.table()
	case OpElemDrop:
		c.Index = c.elem()
	case OpTableCopy:
		c.Index = c.table()
		c.Index2 = c.table()
	case OpTableGrow, OpTableSize, OpTableFill:
		c.Index = c.table()
	default:
		switch {
		case op <= OpI64TruncSatF64U:
		case sub >= 18 && sub <= 22: // memory.discard, wide arithmetic
			c.refuse("%s belongs to a proposal that is not supported", op)
		default:
			c.fail("unknown %s", op)
		}
	}
	return op
}

func (c *Code) data() uint32 {
	i := c.u32()
	switch n := c.m.dataCount; {
	case n == nil:
		c.fail("it names a data segment and the module has no data count section")
	case i >= *n:
		c.Index = i
		c.missing("data segment", uint64(*n))
	}
	return i
}

func (c *Code) elem() uint32 {
	i := c.u32()
	if i >= c.elems {
		c.Index = i
		c.missing("element segment", uint64(c.elems))
	}
	return i
}

// vector reads what follows the prefix 0xfd.
func (c *Code) vector() Op {
	sub := c.u32()
	op := Op(0xfd00 | sub&0xff)
	const alignment = "\x04\x03\x03\x03\x03\x03\x03\x00\x01\x02\x03\x04" // of 0 to 11
	const lanes = "\x10\x10\x10\x08\x08\x08\x04\x04\x02\x02\x04\x04\x02\x02"
	switch {
	case sub <= 11:
		c.memory(uint32(alignment[sub]))
	case sub == 12:
		c.skip(16)
	case sub == 13:
		for range 16 {
			c.lane(32)
		}
	case sub >= 21 && sub <= 34:
		c.lane(lanes[sub-21])
	case sub >= 84 && sub <= 91:
		size := (sub - 84) % 4
		c.memory(size)
		c.lane(16 >> size)
	case sub == 92, sub == 93:
		c.memory(sub - 90)
	case sub >= 0x100 && sub <= 0x113:
		c.refuse("instruction 0xfd 0x%x belongs to relaxed vectors, which are not supported", sub)
	case sub > 0xff, unassigned(byte(sub)):
		c.fail("unknown instruction 0xfd 0x%x", sub)
	}
	return op
}

// unassigned lists the numbers that no vector instruction has.
func unassigned(sub byte) bool {
	switch sub {
	case 0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee:
		return true
	}
	return false
}

func (c *Code) lane(n byte) {
	if i := c.byte(); i >= n {
		c.fail("lane %d does not exist: there are %d", i, n)
	}
}

// unknown refuses an unsupported opcode, and names its proposal if it has one.
func (c *Code) unknown(op Op) {
	switch op {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		c.refuse("%s belongs to exceptions, which are not supported", op)
	case 0x14, 0x15, 0xd3, 0xd4, 0xd5, 0xd6:
		c.refuse("%s belongs to typed references, which are not supported", op)
	case 0xfb:
		c.refuse("%s belongs to garbage collection, which is not supported", op)
	case 0xfe:
		c.refuse("%s belongs to threads, which are not supported", op)
	case 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6:
		c.refuse("%s belongs to stack switching, which is not supported", op)
	default:
		c.fail("unknown %s", op)
	}
}
