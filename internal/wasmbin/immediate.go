package wasmbin

import (
	"fmt"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Readers of immediates. An error is retained, ends the walk, and makes the
// values meaningless.

func (c *Code) byte() byte {
	if c.pos >= len(c.b) {
		c.fail("unexpected end")
		return 0
	}
	v := c.b[c.pos]
	c.pos++
	return v
}

func (c *Code) skip(n int) {
	if n > len(c.b)-c.pos {
		c.fail("unexpected end")
		return
	}
	c.pos += n
}

// u32 reads an unsigned number, usually of one byte.
func (c *Code) u32() uint32 {
	if p := c.pos; p < len(c.b) && c.b[p] < 0x80 {
		c.pos = p + 1
		return uint32(c.b[p])
	}
	return c.u32Long()
}

func (c *Code) u32Long() uint32 {
	var v uint32
	p := c.pos
	for shift := uint(0); shift < 28; shift += 7 {
		if p >= len(c.b) {
			c.fail("unexpected end")
			return 0
		}
		x := c.b[p]
		p++
		v |= uint32(x&0x7f) << shift
		if x < 0x80 {
			c.pos = p
			return v
		}
	}
	if p >= len(c.b) {
		c.fail("unexpected end")
		return 0
	}
	if c.b[p] > 0x0f {
		c.fail("a number is longer than 32 bits")
		return 0
	}
	c.pos = p + 1
	return v | uint32(c.b[p])<<28
}

// signed reads a signed number of a given width, often of one byte.
func (c *Code) signed(bits uint) int64 {
	if p := c.pos; p < len(c.b) && c.b[p] < 0x80 {
		c.pos = p + 1
		return int64(int8(c.b[p]<<1)) >> 1
	}
	return c.signedLong(bits)
}

func (c *Code) signedLong(bits uint) int64 {
	var v int64
	p := c.pos
	// Four bytes hold 28 bits, which fit any width.
	for shift := uint(0); shift < 28; {
		if p >= len(c.b) {
			c.fail("unexpected end")
			return 0
		}
		x := c.b[p]
		p++
		v |= int64(x&0x7f) << shift
		if shift += 7; x < 0x80 {
			c.pos = p
			return v << (64 - shift) >> (64 - shift)
		}
	}
	r := NewReader(c.b[c.pos:], int64(c.pos))
	v, err := r.signed(bits)
	if err != nil {
		c.fail("a malformed signed number")
		return 0
	}
	c.pos += r.pos
	return v
}

func isValType(c byte) bool {
	switch ValType(c) {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
		return true
	}
	return false
}

func (c *Code) valType() {
	if t := c.byte(); !isValType(t) {
		c.fail("unknown value type 0x%02x", t)
	}
}

func (c *Code) refType() {
	switch t := c.byte(); {
	case t == byte(FuncRef), t == byte(ExternRef):
	case t >= 0x63 && t <= 0x74, t < 0x40:
		c.refuse("a null of type 0x%02x belongs to a proposal that is not supported", t)
	default:
		c.fail("0x%02x is not a reference type", t)
	}
}

// fail ends the walk: the body is malformed.
func (c *Code) fail(format string, args ...any) {
	c.stop(malformed(int64(c.Start), "%s", c.where()+": "+fmt.Sprintf(format, args...)))
}

// refuse ends the walk: the body uses an unsupported feature.
func (c *Code) refuse(format string, args ...any) {
	c.stop(unsupported(int64(c.Start), "%s", c.where()+": "+fmt.Sprintf(format, args...)))
}

// missing ends the walk: Index refers to something that does not exist.
func (c *Code) missing(what string, n uint64) {
	c.fail("%s %d does not exist: there are %d", what, c.Index, n)
}

// over ends the walk: a limit of Admit was exceeded. The format has one %d, the
// actual value.
func (c *Code) over(reason fault.Reason, format string, actual, limit int) {
	c.stop(limitError(reason, int64(c.Start), c.where()+" "+fmt.Sprintf(format, actual), uint64(limit)))
}

func (c *Code) stop(err error) {
	if c.err == nil {
		c.err = err
	}
	c.ctrl = c.ctrl[:0]
}

func (c *Code) where() string { return c.m.describe(c.file, c.Function()) }
