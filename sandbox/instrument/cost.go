package instrument

import "github.com/ruedo-dev/ruedo/internal/wasmbin"

// Units of work, and where they are charged.
const (
	// span is the most that code without a loop does between two tests.
	span = 1024
	// leafCost is what a function may leave to its caller's price of a call.
	leafCost = 24
	// leafSize is how long the code of a function may be that is looked at for
	// whether it is a leaf.
	leafSize = 96

	costCall     = 4 + leafCost
	costIndirect = 8 + leafCost
	costHost     = 16
	costBulk     = 16
	costGrow     = 64
	costSwitch   = 2
	costRefFunc  = 8

	// smallBulk is the length up to which memory is filled or copied in place and
	// without a test. Constant lengths cost a unit for so many bytes, others a unit
	// for each. With costBulk it bounds what is done between two tests.
	smallBulk     = 4096
	smallBulkRate = 8
)

// costOf is the price of an instruction that neither moves control nor depends
// on a length.
func costOf(op wasmbin.Op) int {
	switch {
	case op < wasmbin.OpI32DivS:
		switch op {
		case wasmbin.OpNop, wasmbin.OpBlock, wasmbin.OpLoop, wasmbin.OpElse, wasmbin.OpEnd, wasmbin.OpUnreachable:
			return 0
		case wasmbin.OpMemoryGrow:
			return costGrow
		}
	case op <= wasmbin.OpI32RemU, op >= wasmbin.OpI64DivS && op <= wasmbin.OpI64RemU,
		op == wasmbin.OpF32Sqrt, op == wasmbin.OpF32Div, op == wasmbin.OpF64Sqrt, op == wasmbin.OpF64Div:
		return 8
	case op == wasmbin.OpRefFunc:
		return costRefFunc
	case op >= wasmbin.OpMemoryInit && op <= wasmbin.OpTableFill:
		return costBulk
	case op >= wasmbin.OpI32TruncSatF32S && op <= wasmbin.OpI64TruncSatF64U:
		return 2
	}
	return 1
}
