package instrument

import (
	"encoding/binary"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

func appendU32(b []byte, v uint32) []byte { return binary.AppendUvarint(b, uint64(v)) }

func appendSigned(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		if v >>= 7; v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// appendSized appends a length and that many bytes.
func appendSized(b, body []byte) []byte { return append(appendU32(b, uint32(len(body))), body...) }

func appendName(b []byte, s string) []byte { return append(appendU32(b, uint32(len(s))), s...) }

func appendSection(b []byte, id byte, body []byte) []byte { return appendSized(append(b, id), body) }

// appendRange appends the limits of a table or a memory.
func appendRange(b []byte, g wasmbin.Range, flags byte) []byte {
	if g.HasMax {
		flags |= 1
	}
	b = binary.AppendUvarint(append(b, flags), g.Min)
	if g.HasMax {
		b = binary.AppendUvarint(b, g.Max)
	}
	return b
}

// asm writes instructions.
type asm []byte

func (a asm) op(op wasmbin.Op) asm {
	if op > 0xff {
		return append(a, byte(op>>8), byte(op)) // the numbers used here are below 0x80
	}
	return append(a, byte(op))
}

func (a asm) index(op wasmbin.Op, i uint32) asm { return appendU32(a.op(op), i) }

func (a asm) get(local uint32) asm { return a.index(wasmbin.OpLocalGet, local) }

func (a asm) set(local uint32) asm { return a.index(wasmbin.OpLocalSet, local) }

func (a asm) i32(v int32) asm { return appendSigned(a.op(wasmbin.OpI32Const), int64(v)) }

func (a asm) i64(v int64) asm { return appendSigned(a.op(wasmbin.OpI64Const), v) }

// block opens a block, loop or if without parameters or results.
func (a asm) block(op wasmbin.Op) asm { return append(a.op(op), 0x40) }

func (a asm) end() asm { return a.op(wasmbin.OpEnd) }
