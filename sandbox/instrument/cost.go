package instrument

import "github.com/ruedo-dev/ruedo/internal/wasmbin"

// Units of work, and where they are charged.
const (
	// span is how much code without a loop can cost between two tests.
	span = 1024
	// leafCost is how much of its cost a function can leave to the caller, which
	// pays for it with the call.
	leafCost = 24
	// leafSize is the largest code of a function that is examined for being a
	// leaf, in bytes.
	leafSize = 96

	costCall     = 4 + leafCost
	costIndirect = 8 + leafCost
	costHost     = 16
	costBulk     = 16
	costGrow     = 64
	costSwitch   = 2
	costRefFunc  = 8

	// smallBulk is the length up to which memory is filled or copied in place and
	// without a test. A constant length costs one unit for each smallBulkRate
	// bytes, any other length one unit per byte. With costBulk it bounds the work
	// between two tests.
	smallBulk     = 4096
	smallBulkRate = 8
)

// costOf returns the price of an instruction that neither moves control nor
// depends on a length.
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
