package compile_test

import (
	"bytes"
	"encoding/binary"
)

// leb returns an unsigned LEB128.
func leb(n uint64) []byte { return binary.AppendUvarint(nil, n) }

// sleb returns a signed LEB128.
func sleb(n int64) (b []byte) {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func section(id byte, body []byte) []byte { return join([]byte{id}, leb(uint64(len(body))), body) }

// function returns a module with one function f that has no parameters and
// returns an i32. The code is its locals and instructions, without the last
// end.
func function(code []byte) []byte { return functions(code) }

// functions returns a module with several functions; f is the first.
func functions(codes ...[]byte) []byte {
	n := leb(uint64(len(codes)))
	bodies, types := n, n
	for _, code := range codes {
		bodies = join(bodies, leb(uint64(len(code)+1)), code, []byte{0x0b})
		types = append(types, 0)
	}
	return join([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte{1, 0x60, 0, 1, 0x7f}),
		section(3, types),
		section(7, []byte{1, 1, 'f', 0, 0}),
		section(10, bodies),
	)
}

var noLocals = []byte{0}

// returns returns a module whose f returns n.
func returns(n int32) []byte { return function(join(noLocals, []byte{0x41}, sleb(int64(n)))) }

// locals declares n locals of type i32.
func locals(n uint64) []byte { return join([]byte{1}, leb(n), []byte{0x7f}) }

// loops is n consecutive loops with m locals that are all live: each loop's
// head has a parameter for every local.
func loops(n, m int) []byte { return function(loopsCode(n, m)) }

func loopsCode(n, m int) []byte {
	code := locals(uint64(m))
	for i := range n {
		l := leb(uint64(i % m))
		// loop; local.get; i32.const 1; i32.add; local.tee; br_if 0; end
		code = join(code, []byte{0x03, 0x40, 0x20}, l, []byte{0x41, 1, 0x6a, 0x22}, l, []byte{0x0d, 0, 0x0b})
	}
	return append(code, 0x41, 0)
}

// nested is n nested blocks, each with a branch to the outermost.
func nested(n, m int) []byte {
	var b bytes.Buffer
	b.Write(locals(uint64(m)))
	for range n {
		b.Write([]byte{0x03, 0x40})
	}
	for i := range n {
		b.Write(join([]byte{0x20}, leb(uint64(i%m)), []byte{0x0d}, leb(uint64(n-1-i)), []byte{0x0b}))
	}
	b.Write([]byte{0x41, 0})
	return function(b.Bytes())
}

// table is one br_table with n targets, over many blocks with many locals.
func table(n, blocks, m int) []byte {
	var b bytes.Buffer
	b.Write(locals(uint64(m)))
	for range blocks {
		b.Write([]byte{0x02, 0x40})
	}
	b.Write(join([]byte{0x41, 0, 0x0e}, leb(uint64(n))))
	for i := range n + 1 {
		b.Write(leb(uint64(i % blocks)))
	}
	for i := range blocks {
		b.WriteByte(0x0b)
		b.Write(join([]byte{0x41, 1, 0x21}, leb(uint64(i%m)))) // i32.const 1; local.set
	}
	b.Write([]byte{0x41, 0})
	return function(b.Bytes())
}
