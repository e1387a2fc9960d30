package instrument

import "github.com/ruedo-dev/ruedo/internal/wasmbin"

// Exact rewrites a module so that it adds the price of every instruction that
// runs to its fuel, and never calls refuel. Metering must not charge less than
// that.
func Exact(wasm []byte) (*Result, error) {
	m, err := wasmbin.Read(wasm)
	if err != nil {
		return nil, err
	}
	rw := newRewriter(m, wasm, Options{Meter: true})
	f := &function{rw: rw, code: wasmbin.NewCode(m, wasm)}
	var bodies []byte
	for i, b := range m.Bodies {
		f.code.Open(i)
		f.edits = f.edits[:0]
		constant := int64(-1)
		for f.code.Next() {
			f.exactly(constant)
			constant = -1
			if f.code.Op == wasmbin.OpI32Const {
				constant = int64(uint32(f.code.Value))
			}
			rw.scan.instruction(f.code)
		}
		if err := f.code.Err(); err != nil {
			return nil, err
		}
		bodies = appendSized(bodies, f.write(nil, int(b.Offset), int(b.Offset)+b.Size))
	}
	for _, h := range rw.helpers {
		bodies = appendSized(bodies, h.body(rw))
	}
	n := appendU32(nil, uint32(len(m.Bodies)+len(rw.helpers)))
	return rw.assemble(append(n, bodies...))
}

func (f *function) exactly(length int64) {
	c, rw := f.code, f.rw
	cost, pay := costOf(c.Op), helper(255)
	switch c.Op {
	case wasmbin.OpCall, wasmbin.OpReturnCall:
		if cost = costCall - leafCost; c.Index < rw.imported {
			cost = costHost
		}
	case wasmbin.OpCallIndirect, wasmbin.OpReturnCallIndirect:
		cost = costIndirect - leafCost
	case wasmbin.OpBrTable:
		cost = costSwitch
	case wasmbin.OpMemoryFill, wasmbin.OpMemoryCopy:
		if length >= 0 && length <= smallBulk {
			cost = 4 + int(length)/smallBulkRate
		} else {
			pay = helperPayBytes
		}
	case wasmbin.OpMemoryInit:
		pay = helperPayBytes
	case wasmbin.OpTableInit, wasmbin.OpTableCopy, wasmbin.OpTableGrow, wasmbin.OpTableFill:
		pay = helperPayElements
	}
	f.edit(edit{kind: editAdd, at: c.Start, end: c.Start, cost: cost})
	if pay != 255 {
		f.edit(edit{kind: editCall, at: c.Start, end: c.Start, index: rw.helper(pay)})
	}
	switch c.Op {
	case wasmbin.OpCall, wasmbin.OpReturnCall, wasmbin.OpRefFunc:
		f.reindex()
	}
}

// LeafCost is the cost that a function can leave to its caller.
const LeafCost = leafCost
