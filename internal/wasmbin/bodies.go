package wasmbin

import (
	"fmt"
	"strings"
)

// ReservedPrefix begins the names of what the sandbox adds to a module: the
// export of a guest must not begin with it, nor may it import from a module
// whose name does. Otherwise a guest could reach what meters it.
const ReservedPrefix = "ruedo:"

// reserved refuses names that the sandbox keeps to itself.
func reserved(m *Module) error { return m.CheckReserved() }

// CheckReserved refuses a module that exports or imports under names that begin
// with [ReservedPrefix].
func (m *Module) CheckReserved() error {
	refuse := func(what, name string) error {
		return &Error{
			Reason:  ReasonReservedName,
			Offset:  -1,
			Message: fmt.Sprintf("the module %s %s; names that begin with %s belong to the sandbox", what, printable(name), ReservedPrefix),
			Fix:     "use another name",
		}
	}
	for _, im := range m.Imports {
		if strings.HasPrefix(im.Module, ReservedPrefix) {
			return refuse("imports from", im.Module)
		}
	}
	for _, x := range m.Exports {
		if strings.HasPrefix(x.Name, ReservedPrefix) {
			return refuse("exports", x.Name)
		}
	}
	return nil
}

// What a block costs a compiler, found by timing the worst that could be found
// for each: loops whose body uses every local, br_table edges that all meet in
// one block, blocks within blocks.
const (
	loopWeight  = 16
	depthWeight = 16 // of a sixteenth
)

// bodies walks the code of an otherwise admitted module for what only it tells:
// that it can be read, and that compiling it stays within bounds. It gives the
// module's complexity.
func bodies(m *Module, file []byte, l Limits) (int64, error) {
	code := NewCode(m, file)
	code.maxNesting, code.maxTargets = l.Nesting, l.Targets
	var sum uint64 // every product is below 2^48: locals times bytes of a body
	for i := range m.Bodies {
		code.Open(i)
		var joins, depth uint64
		for code.Next() {
			switch code.Op {
			case OpBlock, OpIf:
				joins++
				depth += uint64(code.Depth())
			case OpLoop:
				joins += 1 + loopWeight
				depth += uint64(code.Depth())
			case OpBrTable:
				joins += uint64(len(code.Labels))
			}
		}
		if err := code.Err(); err != nil {
			return 0, err
		}
		own := code.Locals()*joins + depth/depthWeight
		if sum += own; sum > uint64(l.Complexity) {
			return 0, limitError(ReasonLimitComplexity, m.Bodies[i].Offset,
				fmt.Sprintf("the code is too complex: %s has %d locals and adds %d to a complexity (locals x blocks, loops and switch targets) of %d",
					m.describe(file, code.Function()), code.Locals(), own, sum), uint64(l.Complexity))
		}
	}
	return int64(sum), nil
}

// overBody says that a function, whose body is being read, passes a limit. The
// format has one %d, which is the actual value.
func (d *decoder) overBody(reason string, offset int64, format string, actual, limit uint64) error {
	index := uint32(len(d.m.importedFuncs) + len(d.m.Bodies))
	return limitError(reason, offset, d.m.describe(d.file, index)+" "+fmt.Sprintf(format, actual), limit)
}
