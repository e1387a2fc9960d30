package wasmbin

import (
	"fmt"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// ReservedPrefix starts the names of everything that the sandbox adds to a
// module. A guest must not export a name with this prefix, nor import from a
// module with such a name. Otherwise it could reach its own meter.
const ReservedPrefix = "ruedo:"

// reserved refuses names that are reserved for the sandbox.
func reserved(m *Module) error { return m.CheckReserved() }

// CheckReserved refuses a module that exports or imports a name that starts
// with [ReservedPrefix].
func (m *Module) CheckReserved() error {
	refuse := func(what, name string) error {
		return &fault.Error{
			Reason:  fault.WasmReservedName,
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

// The cost of a block to a compiler, found by timing the worst known case of
// each: loops whose body uses every local, br_table edges that all meet in one
// block, and deeply nested blocks.
const (
	loopWeight  = 16
	depthWeight = 16 // a block costs a sixteenth of its depth
)

// walk reads the code of a module and checks what only the code shows: that it
// can be decoded, and that compiling it stays within bounds. It runs ahead of
// the verdict, which rest returns: when walk finds an error, it stops in front
// of that body.
type walk struct {
	limits     Limits
	admission  *Admission
	code       *Code // nil until the code section begins
	plain      *plain
	body       int // the first that has not been walked
	complexity uint64
	err        error // in that body, if everything needed to report it was there
}

// begin is called when everything in front of the bodies has been read.
func (w *walk) begin(m *Module, file []byte) {
	w.code = NewCode(m, file)
	w.plain = newPlain(w.code)
	w.code.maxNesting, w.code.maxTargets = w.limits.Nesting, w.limits.Targets
}

// ahead walks the body that was read last, unless an earlier one was wrong. A
// complete file first goes through the cheaper checks.
func (w *walk) ahead() {
	if w.admission.pause != nil && w.body == len(w.code.m.Bodies)-1 {
		// The names that errors mention stand at the end of the file. An error that
		// is found before they arrive is found again by rest.
		if err := w.one(); w.admission.got == len(w.code.file) {
			w.err = err
		}
	}
}

// rest walks the bodies that have not been walked.
func (w *walk) rest() error {
	if w.err != nil {
		return w.err
	}
	for w.code != nil && w.body < len(w.code.m.Bodies) {
		if err := w.one(); err != nil {
			return err
		}
	}
	return nil
}

// one walks the next body.
func (w *walk) one() error {
	code := w.code
	code.Open(w.body)
	w.plain.open(code)
	// No instruction is longer than the longest br_table.
	longest := 5 * (w.limits.Targets + 4)
	there := code.pos // instructions that begin before this offset are complete
	var joins, depth uint64
	for {
		if code.pos >= there {
			if !w.admission.await(min(code.pos+longest, len(code.b))) {
				return errClosed
			}
			if there = len(code.b); w.admission.got < there {
				there = w.admission.got - longest + 1
			}
		}
		w.plain.skip(code, there)
		if !code.Next() {
			break
		}
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
		return err
	}
	own := code.Locals()*joins + depth/depthWeight
	// No product overflows: each is below 2^48, locals times bytes of a body.
	sum := w.complexity + own
	if sum > uint64(w.limits.Complexity) {
		return limitError(fault.WasmLimitComplexity, code.m.Bodies[w.body].Offset,
			fmt.Sprintf("the code is too complex: %s has %d locals and adds %d to a complexity (locals x blocks, loops and switch targets) of %d",
				code.where(), code.Locals(), own, sum), uint64(w.limits.Complexity))
	}
	w.complexity = sum
	w.body++
	return nil
}

// overBody returns the error for a function that exceeds a limit; its body is
// being read. The format has one %d, the actual value.
func (d *decoder) overBody(reason fault.Reason, offset int64, format string, actual, limit uint64) error {
	if !d.admission.await(len(d.file)) { // the names stand at the end
		return errClosed
	}
	index := uint32(len(d.m.importedFuncs) + len(d.m.Bodies))
	return limitError(reason, offset, d.m.describe(d.file, index)+" "+fmt.Sprintf(format, actual), limit)
}
