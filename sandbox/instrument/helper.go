package instrument

import (
	"slices"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// helper is a function that is added to modules that need it.
type helper uint8

const (
	// helperFill and helperCopy implement memory.fill and memory.copy in pieces,
	// with a test for each.
	helperFill helper = iota
	helperCopy
	// helperPayBytes and helperPayElements charge for the length that they take,
	// and return it.
	helperPayBytes
	helperPayElements
)

const (
	// bulkPiece is how many bytes are filled or copied between two tests. Each
	// byte costs one unit.
	bulkPiece = 256 << 10
	// The largest lengths that helperPay charges for. Anything longer is out of
	// bounds, and must trap rather than exhaust the fuel.
	payBytes    = 32 << 20
	payElements = 1 << 20
	// costElement is the price of one element of a table.
	costElement = 8
)

// helper returns the index of a helper in the new module.
func (rw *rewriter) helper(h helper) uint32 {
	i := slices.Index(rw.helpers, h)
	if i < 0 {
		i = len(rw.helpers)
		rw.helpers = append(rw.helpers, h)
	}
	return rw.funcs + 1 + uint32(i)
}

func (h helper) typeIndex(rw *rewriter) uint32 {
	if h == helperFill || h == helperCopy {
		return rw.typeOfBulk()
	}
	return rw.typeOfPay()
}

// name appears in traces.
func (h helper) name() string {
	switch h {
	case helperFill:
		return wasmbin.ReservedPrefix + "memory.fill"
	case helperCopy:
		return wasmbin.ReservedPrefix + "memory.copy"
	}
	return wasmbin.ReservedPrefix + "pay"
}

func (h helper) body(rw *rewriter) []byte {
	a := asm{0} // no locals
	switch h {
	case helperFill:
		a = rw.fill(a)
	case helperCopy:
		a = rw.copy(a)
	case helperPayBytes:
		a = rw.pay(a, payBytes, 1)
	case helperPayElements:
		a = rw.pay(a, payElements, costElement)
	}
	return a.end()
}

// Locals of the bulk helpers.
const (
	localTo   = iota
	localFrom // or the value
	localLen
)

// fill implements memory.fill. If the whole range is out of bounds, a single
// instruction must detect that, because it then writes nothing.
func (rw *rewriter) fill(a asm) asm {
	fill := func(a asm) asm { return append(a.op(wasmbin.OpMemoryFill), 0) }
	all := func(a asm) asm { return fill(a.get(localTo).get(localFrom).get(localLen)) }

	a = a.get(localLen).i32(bulkPiece).op(wasmbin.OpI32GtU).block(wasmbin.OpIf)
	a = all(a.outOfBounds(localTo)).op(wasmbin.OpReturn).end()
	a = a.block(wasmbin.OpLoop)
	a = fill(a.get(localTo).get(localFrom).i32(bulkPiece))
	a = a.advance(localTo, wasmbin.OpI32Add).advance(localLen, wasmbin.OpI32Sub)
	a = rw.chargePiece(a)
	a = a.get(localLen).i32(bulkPiece).op(wasmbin.OpI32GtU).index(wasmbin.OpBrIf, 0).end()
	a = rw.chargeLength(a.end(), localLen)
	return all(rw.check(a))
}

// copy implements memory.copy: from the end if the target is behind the source.
func (rw *rewriter) copy(a asm) asm {
	copy := func(a asm) asm { return append(a.op(wasmbin.OpMemoryCopy), 0, 0) }
	all := func(a asm) asm { return copy(a.get(localTo).get(localFrom).get(localLen)) }
	more := func(a asm) asm {
		return a.get(localLen).i32(bulkPiece).op(wasmbin.OpI32GtU).index(wasmbin.OpBrIf, 0).end()
	}

	a = a.get(localLen).i32(bulkPiece).op(wasmbin.OpI32GtU).block(wasmbin.OpIf)
	a = all(a.outOfBounds(localTo)).op(wasmbin.OpReturn).end()
	a = all(a.outOfBounds(localFrom)).op(wasmbin.OpReturn).end()
	a = a.get(localTo).get(localFrom).op(wasmbin.OpI32GtU).block(wasmbin.OpIf)

	a = a.block(wasmbin.OpLoop).advance(localLen, wasmbin.OpI32Sub)
	a = a.get(localTo).get(localLen).op(wasmbin.OpI32Add).get(localFrom).get(localLen).op(wasmbin.OpI32Add)
	a = more(rw.chargePiece(copy(a.i32(bulkPiece))))

	a = a.op(wasmbin.OpElse).block(wasmbin.OpLoop)
	a = copy(a.get(localTo).get(localFrom).i32(bulkPiece))
	a = a.advance(localTo, wasmbin.OpI32Add).advance(localFrom, wasmbin.OpI32Add).advance(localLen, wasmbin.OpI32Sub)
	a = more(rw.chargePiece(a))

	a = rw.chargeLength(a.end().end(), localLen)
	return all(rw.check(a))
}

// pay charges for a length and returns it: each per unit, for no more units
// than limit.
func (rw *rewriter) pay(a asm, limit int32, each int64) asm {
	a = a.index(wasmbin.OpGlobalGet, rw.fuel())
	a = a.get(0).i32(limit).get(0).i32(limit).op(wasmbin.OpI32LtU).op(wasmbin.OpSelect).op(wasmbin.OpI64ExtendI32U)
	a = a.i64(each).op(wasmbin.OpI64Mul).op(wasmbin.OpI64Sub).index(wasmbin.OpGlobalSet, rw.fuel())
	return asm(rw.check(a)).get(0)
}

func (rw *rewriter) chargePiece(a asm) asm { return rw.check(rw.charge(a, bulkPiece)) }

// chargeLength charges for a length in bytes, held in a local.
func (rw *rewriter) chargeLength(a asm, local uint32) asm {
	a = a.index(wasmbin.OpGlobalGet, rw.fuel()).get(local).op(wasmbin.OpI64ExtendI32U)
	return a.op(wasmbin.OpI64Sub).index(wasmbin.OpGlobalSet, rw.fuel())
}

// advance adds a piece to a local, or subtracts it.
func (a asm) advance(local uint32, op wasmbin.Op) asm {
	return a.get(local).i32(bulkPiece).op(op).set(local)
}

// outOfBounds opens an if that is taken when a range that starts at a local is
// too long.
func (a asm) outOfBounds(local uint32) asm {
	a = a.get(local).op(wasmbin.OpI64ExtendI32U).get(localLen).op(wasmbin.OpI64ExtendI32U).op(wasmbin.OpI64Add)
	a = append(a.op(wasmbin.OpMemorySize), 0).op(wasmbin.OpI64ExtendI32U).i64(16).op(wasmbin.OpI64Shl)
	return a.op(wasmbin.OpI64GtU).block(wasmbin.OpIf)
}
