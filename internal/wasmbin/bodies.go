package wasmbin

import (
	"fmt"
	"math"
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

// What a block costs a compiler, in microseconds for each local that is alive in
// it, found by timing the worst known case of each: blocks 1.0, loops one after
// the other 2.1, nested loops that use every local 8.9, targets of a br_table 0.03
// to 0.4; and deeply nested blocks.
const (
	loopWeight   = 8
	targetWeight = 8  // a target costs an eighth of a block
	depthWeight  = 16 // a block costs a sixteenth of its depth
)

// complexityGrowth is how many bytes of code raise the limit of complexity by
// half: most locals of honest code live shortly, so that it costs a fifth of what
// is estimated, or less.
const complexityGrowth = 1 << 20

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
	costliest  [3]share // of the complexity, the largest first
	err        error    // in that body, if everything needed to report it was there
}

// share is what one function adds to the complexity.
type share struct {
	body int
	cost uint64
}

// add adds what the body that was walked costs.
func (w *walk) add(own uint64) {
	if w.complexity += own; w.complexity < own {
		w.complexity = math.MaxUint64
	}
	s := share{body: w.body, cost: own}
	for i := range w.costliest {
		if s.cost > w.costliest[i].cost {
			s, w.costliest[i] = w.costliest[i], s
		}
	}
}

// judge returns an error if all functions together are too complex.
func (w *walk) judge() error {
	m := w.code.m
	code := 0
	for _, b := range m.Bodies {
		code += b.Size
	}
	limit := uint64(w.limits.Complexity)
	limit += limit / 2 * uint64(code) / complexityGrowth
	if w.complexity <= limit {
		return nil
	}
	var most []string
	for _, s := range w.costliest {
		if s.cost > 0 {
			most = append(most, fmt.Sprintf("%s with %d", m.describe(w.code.file, uint32(len(m.importedFuncs)+s.body)), s.cost))
		}
	}
	return limitError(fault.WasmLimitComplexity, m.Bodies[w.costliest[0].body].Offset,
		fmt.Sprintf("the code is too complex: its complexity (locals x blocks, loops and switch targets) is %d, most of it in %s", w.complexity, strings.Join(most, ", ")), limit)
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
	if w.code == nil {
		return nil
	}
	for w.body < len(w.code.m.Bodies) {
		if err := w.one(); err != nil {
			return err
		}
	}
	return w.judge()
}

// one walks the next body.
func (w *walk) one() error {
	code := w.code
	code.Open(w.body)
	w.plain.open(code)
	// No instruction is longer than the longest br_table.
	longest := 5 * (w.limits.Targets + 4)
	there := code.pos // instructions that begin before this offset are complete
	var joins, targets, depth uint64
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
			targets += uint64(len(code.Labels))
		}
	}
	if err := code.Err(); err != nil {
		return err
	}
	// No product overflows: each is below 2^48, locals times bytes of a body.
	w.add(code.Locals()*(joins+targets/targetWeight) + depth/depthWeight)
	w.body++
	return nil
}

// overBody returns the error for a function that exceeds a limit; its body is
// being read. what says how.
func (d *decoder) overBody(reason fault.Reason, offset int64, what string, limit any) error {
	if !d.admission.await(len(d.file)) { // the names stand at the end
		return errClosed
	}
	index := uint32(len(d.m.importedFuncs) + len(d.m.Bodies))
	return limitError(reason, offset, d.m.describe(d.file, index)+" "+what, limit)
}
