package instrument_test

import (
	"math/rand/v2"

	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// program generates valid modules that terminate and do a bit of everything:
// nested blocks and loops with branches in all directions, direct and indirect
// calls, tail calls, memory and its bulk instructions, and occasional traps.
type program struct {
	*rand.Rand
	funcs  int
	code   []byte
	labels []bool // of open blocks, innermost last: true for a loop
	budget int    // statements left for the function
}

// Each function takes (i32, i64) and returns an i32. Locals: the parameters,
// then some i32, then some i64.
const (
	programI32, programI64 = 5, 3
	programGas             = 0 // the global that ends everything
	programPages           = 8
)

func newProgram(seed uint64) []byte {
	p := &program{Rand: rand.New(rand.NewPCG(seed, 7))}
	p.funcs = 2 + p.IntN(7)
	m := w.New()
	m.Import("env", "host", "iI>i")
	m.MemoryRaw(w.Cat([]byte{1}, w.U32(programPages), w.U32(programPages+2)))
	m.ExportKind("memory", 2, 0)
	m.Table(uint32(p.funcs + 2))
	for i := range 3 {
		m.ExportKind("g"+string(rune('0'+i)), 3, m.Global(int64(p.Uint64()>>p.IntN(64))))
	}
	var names []uint32
	for range p.funcs {
		locals := w.Vec(w.Cat(w.U32(programI32), []byte{0x7f}), w.Cat(w.U32(programI64), []byte{0x7e}))
		f := m.FuncLocals("iI>i", locals, p.function())
		m.Export("f"+string(rune('0'+len(names))), f)
		names = append(names, f)
	}
	m.Element(names...)
	m.Data(int32(p.IntN(1000)), []byte("some bytes to begin with"))
	m.Data(int32(p.IntN(1000)), []byte("others, which may overlap them"))
	return m.Bytes()
}

func (p *program) emit(b ...byte)   { p.code = append(p.code, b...) }
func (p *program) raw(parts []byte) { p.code = append(p.code, parts...) }
func (p *program) i32Local() uint32 { return [...]uint32{0, 2, 3, 4, 5, 6}[p.IntN(6)] }
func (p *program) i64Local() uint32 { return [...]uint32{1, 7, 8, 9}[p.IntN(4)] }
func (p *program) callee() uint32   { return 1 + uint32(p.IntN(p.funcs)) }
func (p *program) oneIn(n int) bool { return p.IntN(n) == 0 }
func (p *program) get(local uint32) { p.raw(w.Cat([]byte{0x20}, w.U32(local))) }
func (p *program) set(local uint32) { p.raw(w.Cat([]byte{0x21}, w.U32(local))) }
func (p *program) const32(v int32)  { p.raw(w.I32(v)) }

func (p *program) function() []byte {
	p.code, p.labels = nil, nil
	if p.oneIn(4) { // a leaf
		p.i32(2)
		return p.code
	}
	p.gas()
	p.emit(0x04, 0x40, 0x41, 0x07, 0x0f, 0x0b) // if out of gas: return 7
	p.budget = 4 + p.IntN(40)
	p.block(0)
	if p.oneIn(4) {
		p.i32(1)
		p.i64(1)
		if p.oneIn(2) {
			p.raw(w.Cat([]byte{0x12}, w.U32(p.callee())))
		} else {
			p.const32(int32(p.IntN(p.funcs + 1)))
			p.emit(0x13, 0, 0)
		}
	} else {
		p.i32(3)
	}
	return p.code
}

// gas pushes whether the gas is used up, and uses some.
func (p *program) gas() {
	p.emit(0x23, programGas, 0x42, 1, 0x7d, 0x24, programGas, 0x23, programGas, 0x42, 0, 0x53)
}

func (p *program) block(depth int) {
	for n := 1 + p.IntN(6); n > 0 && p.budget > 0; n-- {
		p.budget--
		p.statement(depth)
	}
}

// forward returns a possible target of a branch. It is not a loop, which might
// then not end.
func (p *program) forward() (uint32, bool) {
	for range 4 {
		if n := len(p.labels); n > 0 {
			l := p.IntN(n)
			if !p.labels[n-1-l] {
				return uint32(l), true
			}
		}
	}
	return uint32(len(p.labels)), false // out of the function, with a value
}

func (p *program) statement(depth int) {
	nest := func(loop bool, body func()) {
		p.labels = append(p.labels, loop)
		body()
		p.labels = p.labels[:len(p.labels)-1]
		p.emit(0x0b)
	}
	switch k := p.IntN(22); {
	case k < 4:
		p.i32(3)
		p.set(p.i32Local())
	case k < 6:
		p.i64(3)
		p.set(p.i64Local())
	case k < 8 && depth < 5:
		p.i32(2)
		p.emit(0x04, 0x40)
		nest(false, func() {
			p.block(depth + 1)
			if p.oneIn(2) {
				p.emit(0x05)
				p.block(depth + 1)
			}
		})
	case k < 10 && depth < 5:
		p.emit(0x02, 0x40)
		nest(false, func() { p.block(depth + 1) })
	case k < 13 && depth < 4: // a loop that ends with its condition or the gas
		p.emit(0x03, 0x40)
		nest(true, func() {
			if p.oneIn(2) {
				p.small()
			} else {
				p.block(depth + 1)
			}
			p.i32(1)
			p.gas()
			p.emit(0x45, 0x71, 0x0d, 0) // and gas is left: repeat
		})
	case k < 14:
		if l, ok := p.forward(); ok {
			p.i32(2)
			p.raw(w.Cat([]byte{0x0d}, w.U32(l)))
		} else {
			p.i32(1)
			p.i32(1)
			p.raw(w.Cat([]byte{0x0d}, w.U32(l)))
			p.emit(0x1a)
		}
	case k < 15:
		if l, ok := p.forward(); ok && depth > 0 {
			if l2, ok := p.forward(); ok {
				p.i32(2)
				p.raw(w.Cat([]byte{0x0e, 2}, w.U32(l), w.U32(l2), w.U32(l)))
			}
		}
	case k < 16:
		if p.oneIn(4) {
			p.i32(2)
			p.emit(0x0f)
		}
	case k < 18: // store
		p.address()
		p.i64(2)
		p.emit(0x37, 0, byte(p.IntN(100)))
	case k < 19:
		p.bulk()
	case k < 20:
		p.call()
		p.set(p.i32Local())
	default:
		p.i64(2)
		p.emit(0x24, byte(1+p.IntN(2)))
	}
}

// small generates a body that is likely to be unrolled.
func (p *program) small() {
	p.get(2)
	p.const32(int32(p.IntN(100)))
	p.emit(0x6a, 0x21, 2)
	if p.oneIn(2) {
		p.get(2)
		p.emit(0x04, 0x40)
		p.get(3)
		p.emit(0x41, 1, 0x6a, 0x21, 3)
		if p.oneIn(2) {
			p.get(3)
			p.const32(7)
			p.emit(0x71, 0x0d, 1) // repeat, from within, up to seven times
		}
		p.emit(0x0b)
	}
	if l, ok := p.forward(); ok && p.oneIn(2) {
		p.get(p.i32Local())
		p.const32(7)
		p.emit(0x71, 0x45) // is it a multiple of eight?
		p.raw(w.Cat([]byte{0x0d}, w.U32(l)))
	}
}

func (p *program) address() {
	p.i32(1)
	if !p.oneIn(60) {
		p.const32(0xffff)
		p.emit(0x71)
	}
}

func (p *program) bulk() {
	switch p.IntN(5) {
	case 0: // lengths that are split
		p.address()
		p.address()
		p.const32(int32(p.IntN(600_000)))
	case 1:
		p.address()
		p.address()
		p.const32(int32(p.IntN(5000)))
	default:
		p.address()
		p.address()
		p.i32(1)
		p.const32(0x3fff)
		p.emit(0x71)
	}
	if p.oneIn(2) {
		p.emit(0xfc, 10, 0, 0)
	} else {
		p.emit(0xfc, 11, 0)
	}
}

func (p *program) call() {
	p.i32(1)
	p.i64(1)
	switch p.IntN(4) {
	case 0:
		p.raw(w.Call(0))
	case 1:
		p.i32(1)
		if !p.oneIn(30) {
			p.const32(1)
			p.emit(0x71)
		}
		p.emit(0x11, 0, 0)
	default:
		p.raw(w.Call(p.callee()))
	}
}

func (p *program) i32(depth int) {
	if depth == 0 {
		if p.oneIn(2) {
			p.const32(int32(p.Uint32()) >> p.IntN(32))
		} else {
			p.get(p.i32Local())
		}
		return
	}
	switch p.IntN(8) {
	case 0:
		p.address()
		p.emit(0x28, 0, 4)
	case 1:
		p.i64(depth - 1)
		p.emit(0xa7)
	case 2:
		p.i32(depth - 1)
		p.i32(depth - 1)
		if p.oneIn(8) {
			p.emit(0x6e) // div_u: may trap
		} else {
			p.emit(0x41, 1, 0x72, 0x6e)
		}
	case 3:
		p.i32(depth - 1)
		p.emit(0x04, 0x7f)
		p.i32(depth - 1)
		p.emit(0x05)
		p.i32(depth - 1)
		p.emit(0x0b)
	default:
		p.i32(depth - 1)
		p.i32(depth - 1)
		p.emit([]byte{0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73, 0x46, 0x4b, 0x78}[p.IntN(9)])
	}
}

func (p *program) i64(depth int) {
	if depth == 0 {
		if p.oneIn(2) {
			p.raw(w.I64(int64(p.Uint64()) >> p.IntN(64)))
		} else {
			p.get(p.i64Local())
		}
		return
	}
	switch p.IntN(5) {
	case 0:
		p.i32(depth - 1)
		p.emit(0xad)
	case 1:
		p.address()
		p.emit(0x29, 0, 8)
	case 2:
		p.emit(0x23, byte(p.IntN(3)))
	default:
		p.i64(depth - 1)
		p.i64(depth - 1)
		p.emit([]byte{0x7c, 0x7d, 0x7e, 0x83, 0x84, 0x85, 0x89}[p.IntN(7)])
	}
}
