package instrument

import (
	"fmt"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// scan records what the code changes besides memory and globals.
type scan struct {
	segments bool // some instruction refers to a data segment
	found    []finding
}

// finding is the first occurrence of an instruction.
type finding struct {
	op       wasmbin.Op
	function uint32
}

func (s *scan) instruction(c *wasmbin.Code) {
	switch c.Op {
	case wasmbin.OpMemoryInit:
		s.segments = true
	case wasmbin.OpDataDrop:
		s.segments = true
		s.note(c)
	case wasmbin.OpTableSet, wasmbin.OpTableInit, wasmbin.OpElemDrop, wasmbin.OpTableCopy, wasmbin.OpTableGrow, wasmbin.OpTableFill:
		s.note(c)
	}
}

func (s *scan) note(c *wasmbin.Code) {
	for _, f := range s.found {
		if f.op == c.Op {
			return
		}
	}
	s.found = append(s.found, finding{op: c.Op, function: c.Function()})
}

// state decides whether memory and globals are all of an instance's state.
func (rw *rewriter) state() {
	no := func(format string, args ...any) {
		rw.res.Reasons = append(rw.res.Reasons, fmt.Sprintf(format, args...))
	}
	for _, f := range rw.scan.found {
		where := fmt.Sprintf("function %d", f.function)
		if name := rw.m.FunctionName(rw.file, f.function); name != "" {
			where += fmt.Sprintf(" (%.80q)", name)
		}
		no("it uses %s, in %s", f.op, where)
	}
	first := rw.globals - uint32(len(rw.m.Globals))
	for i, g := range rw.m.Globals {
		if g.Mutable && !number(g.Type) {
			no("its global %d can change and is a %s, which a host cannot read", first+uint32(i), g.Type)
			break
		}
	}
	for _, im := range rw.m.Imports {
		if im.Kind != wasmbin.ExternFunc {
			no("it imports a %s", im.Kind)
			break
		}
	}
	if n := len(rw.m.Memories); n > 1 {
		no("it has %d memories", n)
	}
	rw.res.Restorable = len(rw.res.Reasons) == 0
}
