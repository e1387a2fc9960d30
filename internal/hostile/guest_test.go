//go:build hostile

package hostile

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// Instructions that the assembler does not name.
var (
	opEnd         = w.Ops(0x0b)
	opReturn      = w.Ops(0x0f)
	opI32Load     = w.Ops(0x28, 2, 0)
	opI32Store    = w.Ops(0x36, 2, 0)
	opI32Eq       = w.Ops(0x46)
	opI32LtU      = w.Ops(0x49)
	opI32Add      = w.Ops(0x6a)
	opI32Or       = w.Ops(0x72)
	opMemorySize  = w.Ops(0x3f, 0)
	opMemoryGrow  = w.Ops(0x40, 0)
	opMemoryFill  = w.Ops(0xfc, 11, 0)
	opI32Wrap     = w.Ops(0xa7)
	opRefNullFunc = w.Ops(0xd0, 0x70)
	opTableGrow   = w.Ops(0xfc, 15, 0)
)

// when runs code if the top of the stack is not zero.
func when(code ...[]byte) []byte { return w.Cat(w.Ops(0x04, 0x40), w.Cat(code...), opEnd) }

func localGet(i uint32) []byte { return w.Cat(w.Ops(0x20), w.U32(i)) }
func localSet(i uint32) []byte { return w.Cat(w.Ops(0x21), w.U32(i)) }

// locals declares n locals of type i32.
func locals(n uint32) []byte { return w.Vec(w.Cat(w.U32(n), []byte{0x7f})) }

// store writes a number to an address.
func store(addr, value int32) []byte { return w.Cat(w.I32(addr), w.I32(value), opI32Store) }

// Imports as function and wasmtest.Command take them.
const (
	inputRead   = "ruedo.input_read:ii>i"
	outputWrite = "ruedo.output_write:ii>i"
	hostLog     = "ruedo.log:iii>"
	hostFail    = "ruedo.fail:iii>"
	procExit    = "wasi_snapshot_preview1.proc_exit:i>"
	fdWrite     = "wasi_snapshot_preview1.fd_write:iiii>i"
	pollOneoff  = "wasi_snapshot_preview1.poll_oneoff:iiii>i"
	randomGet   = "wasi_snapshot_preview1.random_get:ii>i"
	schedYield  = "wasi_snapshot_preview1.sched_yield:>i"
	clockTime   = "wasi_snapshot_preview1.clock_time_get:iIi>i"
)

// puppet is a guest that does what its input says: a list of orders, each a
// host function and its arguments, or a read or a write of the guest's memory.
// Its output is the results of the orders, 8 bytes each.
type puppet struct{ names []string }

const (
	orderSize = 1 + 9*8
	orderPeek = 254 // (address): returns the 8 bytes there
	orderPoke = 255 // (address, value)
	// The puppet's memory has two pages. It uses part of the second one itself.
	puppetMemory = 2 * 65536
	orderAt      = 65536
	resultAt     = 65536 + 512
)

// newPuppet returns a puppet and its module, after it was changed.
func newPuppet(change ...func(m *w.Module)) (*puppet, []byte) {
	p, m := &puppet{}, w.New()
	var sigs []string
	for _, module := range []string{abi.HostModule, abi.WASIModule} {
		list := wasmbin.HostFunctions(module)
		for _, name := range slices.Sorted(maps.Keys(list)) {
			sig := strings.NewReplacer("(", "", ")", "", ", ", "", " -> ", ">", "i32", "i", "i64", "I").Replace(list[name].String())
			m.Import(module, name, sig)
			p.names, sigs = append(p.names, name), append(sigs, sig)
		}
	}
	m.Memory(2, 16)
	argument := func(op byte, i int) []byte { return w.Cat(w.I32(orderAt), []byte{op, 0}, w.U32(uint32(1+8*i))) }
	given := func(id int32, code ...[]byte) []byte {
		return w.Cat(w.I32(orderAt), w.Ops(0x2d, 0, 0), w.I32(id), opI32Eq, when(code...))
	}
	i64Store, i64Load := w.Ops(0x37, 0, 0), w.Ops(0x29, 0, 0)
	code := w.Cat(
		given(orderPeek, w.I32(resultAt), argument(0x28, 0), i64Load, i64Store),
		given(orderPoke, argument(0x28, 0), argument(0x29, 1), i64Store))
	for i, sig := range sigs {
		params, results, _ := strings.Cut(sig, ">")
		call := w.I32(resultAt)
		for k, p := range params {
			op := byte(0x28)
			if p == 'I' {
				op = 0x29
			}
			call = w.Cat(call, argument(op, k))
		}
		call = w.Cat(call, w.Call(uint32(i)))
		switch results {
		case "":
			call = w.Cat(call, w.I64(0))
		case "i":
			call = w.Cat(call, w.Ops(0xac)) // i64.extend_i32_s
		}
		code = w.Cat(code, given(int32(i), call, i64Store))
	}
	index := func(name string) uint32 { return uint32(slices.Index(p.names, name)) }
	m.AsFunction(m.Func(">i", w.Ops(0x03, 0x40),
		w.CallWith(index(abi.ImportInputRead), orderAt, orderSize), w.I32(orderSize), opI32Eq,
		when(code, w.CallWith(index(abi.ImportOutputWrite), resultAt, 8), w.Drop(), w.Ops(0x0c, 1)), opEnd,
		w.I32(0)))
	for _, f := range change {
		f(m)
	}
	return p, m.Bytes()
}

// order encodes one order.
func (p *puppet) order(name string, args ...uint64) []byte {
	b := make([]byte, orderSize)
	switch name {
	case "peek":
		b[0] = orderPeek
	case "poke":
		b[0] = orderPoke
	default:
		i := slices.Index(p.names, name)
		if i < 0 {
			panic(fmt.Sprintf("there is no host function %s", name))
		}
		b[0] = byte(i)
	}
	for i, a := range args {
		binary.LittleEndian.PutUint64(b[1+8*i:], a)
	}
	return b
}

// carrying encodes an order for a host function that takes a pointer and a length, with
// what they are about: few bytes, which are there before the puppet answers anything.
func (p *puppet) carrying(name string, text []byte) []byte {
	const at = 1 + 2*8
	b := p.order(name, orderAt+at, uint64(len(text)))
	if copy(b[at:], text) < len(text) {
		panic("an order cannot carry that much")
	}
	return b
}

// write writes bytes to the puppet's memory.
func (p *puppet) write(addr uint64, text []byte) []byte {
	var orders []byte
	for len(text) > 0 {
		var word [8]byte
		n := copy(word[:], text)
		orders = append(orders, p.order("poke", addr, binary.LittleEndian.Uint64(word[:]))...)
		addr, text = addr+8, text[n:]
	}
	return orders
}

// count returns how many results orders have.
func count(orders []byte) int { return len(orders) / orderSize }

func results(b []byte) []int64 {
	var r []int64
	for ; len(b) >= 8; b = b[8:] {
		r = append(r, int64(binary.LittleEndian.Uint64(b)))
	}
	return r
}
