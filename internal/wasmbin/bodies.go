package wasmbin

import (
	"fmt"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
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

// What a block costs a compiler, found by timing the worst that could be found
// for each: loops whose body uses every local, br_table edges that all meet in
// one block, blocks within blocks.
const (
	loopWeight  = 16
	depthWeight = 16 // of a sixteenth
)

// walk goes over the code of a module for what only it tells: that it can be read,
// and that compiling it stays within bounds. It walks ahead of the verdict, which is
// that of rest: where it finds something wrong, it stays before that body.
type walk struct {
	limits     Limits
	arrival    *Arrival
	code       *Code // nil until the code section begins
	plain      *plain
	body       int // the first that is not walked yet
	complexity uint64
	err        error // of that body, if all there is to say of it could be said
}

// begin is called when all that stands before the bodies is read.
func (w *walk) begin(m *Module, file []byte) {
	w.code = NewCode(m, file)
	w.plain = newPlain(w.code)
	w.code.maxNesting, w.code.maxTargets = w.limits.Nesting, w.limits.Targets
}

// ahead walks the body that was read last, unless something was wrong before. A file
// that is all there is first judged by what costs less.
func (w *walk) ahead() {
	if w.arrival.pause != nil && w.body == len(w.code.m.Bodies)-1 {
		// The names that errors tell stand at the end: what is wrong before that
		// has come is found again by rest.
		if err := w.one(); w.arrival.got == len(w.code.file) {
			w.err = err
		}
	}
}

// rest walks what is not walked yet.
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
	there := code.pos // instructions that begin before are there
	var joins, depth uint64
	for {
		if code.pos >= there {
			if !w.arrival.await(min(code.pos+longest, len(code.b))) {
				return errClosed
			}
			if there = len(code.b); w.arrival.got < there {
				there = w.arrival.got - longest + 1
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
	// Every product is below 2^48: locals times bytes of a body.
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

// overBody says that a function, whose body is being read, passes a limit. The
// format has one %d, which is the actual value.
func (d *decoder) overBody(reason fault.Reason, offset int64, format string, actual, limit uint64) error {
	if !d.arrival.await(len(d.file)) { // names stand at the end
		return errClosed
	}
	index := uint32(len(d.m.importedFuncs) + len(d.m.Bodies))
	return limitError(reason, offset, d.m.describe(d.file, index)+" "+fmt.Sprintf(format, actual), limit)
}
