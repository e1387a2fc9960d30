package wasmbin

// plain knows the instructions that code is full of, by their opcode: how long they
// are where each operand is of one byte, and what the first has to be below. They
// need no more than a look then.
type plain struct {
	length, below [256]uint8
}

// newPlain knows nothing yet of a function's locals.
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

// open begins the body that Code opened.
func (p *plain) open(c *Code) {
	p.set(OpLocalGet, OpLocalTee, 2, uint8(min(c.locals, 0x80)))
}

// set gives all opcodes from the first to the last the same length and bound.
func (p *plain) set(first, last Op, length, below uint8) {
	for op := first; op <= last; op++ {
		p.length[op], p.below[op] = length, below
	}
}

// skip goes over plain instructions that begin before an offset. Where it stops,
// Next goes on.
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
