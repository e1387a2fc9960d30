package wasmbin

// plain describes the most frequent instructions by opcode: their length if
// each operand fits in one byte, and the bound of the first operand. One lookup
// is then enough to skip them.
type plain struct {
	length, below [256]uint8
}

// newPlain returns a plain that does not know any function's locals yet.
func newPlain(c *Code) *plain {
	p := &plain{}
	for _, op := range []Op{OpDrop, OpSelect, OpNop, OpUnreachable, OpReturn, OpRefIsNull} {
		p.set(op, op, 1, 0xff)
	}
	p.set(0x45, 0xc4, 1, 0xff) // numbers
	p.set(OpI32Const, OpI64Const, 2, 0x80)
	p.set(OpGlobalGet, OpGlobalSet, 2, uint8(min(c.globals, 0x80)))
	p.set(OpCall, OpCall, 2, uint8(min(c.funcs, 0x80)))
	if c.memories > 0 {
		for i, a := range []byte(alignment) {
			p.set(OpI32Load+Op(i), OpI32Load+Op(i), 3, a+1)
		}
	}
	return p
}

// open prepares for the body that Code opened.
func (p *plain) open(c *Code) {
	p.set(OpLocalGet, OpLocalTee, 2, uint8(min(c.locals, 0x80)))
}

// set assigns the same length and bound to all opcodes from first to last.
func (p *plain) set(first, last Op, length, below uint8) {
	for op := first; op <= last; op++ {
		p.length[op], p.below[op] = length, below
	}
}

// skip passes over plain instructions that begin before an offset. Next
// continues where it stops.
func (p *plain) skip(c *Code, before int) {
	b, at := c.b, c.pos
	for before = min(before, len(b)-2); at < before; {
		op := b[at]
		n := p.length[op]
		if n == 0 || n > 1 && b[at+1] >= p.below[op] || n > 2 && b[at+2] >= 0x80 {
			break
		}
		at += int(n)
	}
	c.pos = at
}
