package wasmbin

import "fmt"

// Op is the opcode of an instruction: the byte itself or, if there is a prefix,
// the prefix in the upper byte and the number after it in the lower one.
type Op uint16

// The opcodes that readers of code need to distinguish.
const (
	OpUnreachable        Op = 0x00
	OpNop                Op = 0x01
	OpBlock              Op = 0x02
	OpLoop               Op = 0x03
	OpIf                 Op = 0x04
	OpElse               Op = 0x05
	OpEnd                Op = 0x0b
	OpBr                 Op = 0x0c
	OpBrIf               Op = 0x0d
	OpBrTable            Op = 0x0e
	OpReturn             Op = 0x0f
	OpCall               Op = 0x10
	OpCallIndirect       Op = 0x11
	OpReturnCall         Op = 0x12
	OpReturnCallIndirect Op = 0x13
	OpDrop               Op = 0x1a
	OpSelect             Op = 0x1b
	OpSelectTyped        Op = 0x1c
	OpLocalGet           Op = 0x20
	OpLocalSet           Op = 0x21
	OpLocalTee           Op = 0x22
	OpGlobalGet          Op = 0x23
	OpGlobalSet          Op = 0x24
	OpTableGet           Op = 0x25
	OpTableSet           Op = 0x26
	OpI32Load            Op = 0x28
	OpI64Store32         Op = 0x3e
	OpMemorySize         Op = 0x3f
	OpMemoryGrow         Op = 0x40
	OpI32Const           Op = 0x41
	OpI64Const           Op = 0x42
	OpF32Const           Op = 0x43
	OpF64Const           Op = 0x44
	OpI32LtU             Op = 0x49
	OpI32GtU             Op = 0x4b
	OpI64LtS             Op = 0x53
	OpI64GtU             Op = 0x56
	OpI32Add             Op = 0x6a
	OpI32Sub             Op = 0x6b
	OpI32DivS            Op = 0x6d
	OpI32RemU            Op = 0x70
	OpI64Add             Op = 0x7c
	OpI64Sub             Op = 0x7d
	OpI64Mul             Op = 0x7e
	OpI64DivS            Op = 0x7f
	OpI64RemU            Op = 0x82
	OpI64Shl             Op = 0x86
	OpF32Sqrt            Op = 0x91
	OpF32Div             Op = 0x95
	OpF64Sqrt            Op = 0x9f
	OpF64Div             Op = 0xa3
	OpI64ExtendI32U      Op = 0xad
	OpRefNull            Op = 0xd0
	OpRefIsNull          Op = 0xd1
	OpRefFunc            Op = 0xd2

	OpI32TruncSatF32S Op = 0xfc00
	OpI64TruncSatF64U Op = 0xfc07
	OpMemoryInit      Op = 0xfc08
	OpDataDrop        Op = 0xfc09
	OpMemoryCopy      Op = 0xfc0a
	OpMemoryFill      Op = 0xfc0b
	OpTableInit       Op = 0xfc0c
	OpElemDrop        Op = 0xfc0d
	OpTableCopy       Op = 0xfc0e
	OpTableGrow       Op = 0xfc0f
	OpTableSize       Op = 0xfc10
	OpTableFill       Op = 0xfc11
)

// String returns the name if it is one of the constants that change state or
// move control, otherwise the number.
func (op Op) String() string {
	switch op {
	case OpUnreachable:
		return "unreachable"
	case OpBlock:
		return "block"
	case OpLoop:
		return "loop"
	case OpIf:
		return "if"
	case OpElse:
		return "else"
	case OpEnd:
		return "end"
	case OpBr:
		return "br"
	case OpBrIf:
		return "br_if"
	case OpBrTable:
		return "br_table"
	case OpReturn:
		return "return"
	case OpCall:
		return "call"
	case OpCallIndirect:
		return "call_indirect"
	case OpReturnCall:
		return "return_call"
	case OpReturnCallIndirect:
		return "return_call_indirect"
	case OpTableGet:
		return "table.get"
	case OpTableSet:
		return "table.set"
	case OpMemorySize:
		return "memory.size"
	case OpMemoryGrow:
		return "memory.grow"
	case OpMemoryInit:
		return "memory.init"
	case OpDataDrop:
		return "data.drop"
	case OpMemoryCopy:
		return "memory.copy"
	case OpMemoryFill:
		return "memory.fill"
	case OpTableInit:
		return "table.init"
	case OpElemDrop:
		return "elem.drop"
	case OpTableCopy:
		return "table.copy"
	case OpTableGrow:
		return "table.grow"
	case OpTableSize:
		return "table.size"
	case OpTableFill:
		return "table.fill"
	}
	if op > 0xff {
		return fmt.Sprintf("instruction 0x%02x 0x%02x", uint16(op>>8), uint16(op&0xff))
	}
	return fmt.Sprintf("instruction 0x%02x", uint16(op))
}
