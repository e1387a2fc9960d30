package instrument

import "github.com/ruedo-dev/ruedo/internal/wasmbin"

// function walks one function, decides what is charged and where, and writes
// the new body. It is reused for every function.
type function struct {
	flow
	rw    *rewriter
	code  *wasmbin.Code
	edits []edit
	loop  loop
	// constant is what the previous instruction pushed if it was an i32.const,
	// otherwise negative.
	constant int64
	body     wasmbin.Body
	lengths  bool // it needs a local for lengths
}

// code rewrites the code section.
func (rw *rewriter) code() ([]byte, error) {
	if len(rw.m.Bodies) == 0 {
		return nil, nil
	}
	code := wasmbin.NewCode(rw.m, rw.file)
	if rw.o.Meter {
		if err := rw.findLeaves(code); err != nil {
			return nil, err
		}
	}
	size := rw.sections[wasmbin.SectionCode].Size
	out := make([]byte, 0, size+size/4)
	f := &function{rw: rw, code: code}
	var body []byte
	for i, b := range rw.m.Bodies {
		f.body = b
		if err := f.walk(i); err != nil {
			return nil, err
		}
		body = f.write(body[:0], int(b.Offset), int(b.Offset)+b.Size)
		out = appendSized(out, body)
	}
	for _, h := range rw.helpers {
		out = appendSized(out, h.body(rw))
	}
	n := appendU32(nil, uint32(len(rw.m.Bodies)+len(rw.helpers)))
	return append(n, out...), nil
}

// walk reads the i-th body and records its edits.
func (f *function) walk(i int) error {
	f.code.Open(i)
	f.edits = f.edits[:0]
	f.loop.blobs = f.loop.blobs[:0]
	f.constant, f.lengths = -1, false
	f.reset(wasmbin.OpBlock)
	scan, meter := &f.rw.scan, f.rw.o.Meter
	for f.code.Next() {
		if op := f.code.Op; op >= wasmbin.OpMemoryInit || op == wasmbin.OpTableSet {
			scan.instruction(f.code)
		}
		if meter {
			f.step()
		}
	}
	return f.code.Err()
}

// step handles one instruction.
func (f *function) step() {
	c := f.code
	length := f.constant
	f.constant = -1
	if c.Op >= wasmbin.OpDrop && c.Op < wasmbin.OpRefNull { // the most frequent ones
		f.spend(costOf(c.Op))
		if c.Op == wasmbin.OpI32Const {
			f.constant = int64(uint32(c.Value))
		}
		return
	}
	switch c.Op {
	case wasmbin.OpCall, wasmbin.OpReturnCall:
		f.call()
	case wasmbin.OpCallIndirect, wasmbin.OpReturnCallIndirect:
		f.spend(costIndirect)
		f.test()
		if c.Op == wasmbin.OpReturnCallIndirect {
			f.leave()
			f.dead = true
		}
	case wasmbin.OpRefFunc:
		f.spend(costRefFunc)
		f.reindex()
	case wasmbin.OpBlock:
		f.open(wasmbin.OpBlock)
	case wasmbin.OpIf:
		f.spend(1)
		f.open(wasmbin.OpIf)
	case wasmbin.OpLoop:
		f.openLoop()
	case wasmbin.OpElse:
		f.otherwise()
	case wasmbin.OpEnd:
		if len(f.frames) == 1 {
			f.state = f.join(f.frames[0].label)
			f.leave()
		} else if t := f.close(); t.op == wasmbin.OpLoop {
			f.closeLoop(t)
		}
	case wasmbin.OpBr, wasmbin.OpBrIf:
		f.spend(1)
		f.jump(c.Index)
		f.dead = f.dead || c.Op == wasmbin.OpBr
	case wasmbin.OpBrTable:
		f.spend(costSwitch)
		// The branch out of the function goes first, because it charges.
		for _, l := range c.Labels {
			if int(l) == len(f.frames)-1 {
				f.leave()
				break
			}
		}
		for _, l := range c.Labels {
			if int(l) != len(f.frames)-1 {
				f.branch(l)
			}
		}
		f.dead = true
	case wasmbin.OpReturn:
		f.spend(1)
		f.leave()
		f.dead = true
	case wasmbin.OpUnreachable:
		f.dead = true
	case wasmbin.OpMemoryFill, wasmbin.OpMemoryCopy:
		f.bulk(length)
	case wasmbin.OpMemoryInit, wasmbin.OpTableInit, wasmbin.OpTableCopy, wasmbin.OpTableGrow, wasmbin.OpTableFill:
		f.pay()
	default:
		f.spend(costOf(c.Op))
	}
}

// spend adds the price of the instruction. If that is too much without a test,
// it puts one in front.
func (f *function) spend(n int) {
	if f.dead {
		return
	}
	if f.acc+n > span {
		f.check(f.code.Start, f.acc)
	}
	f.acc += n
}

// test makes sure that every path to here passed a test in this function.
func (f *function) test() {
	if !f.dead && !f.paid {
		f.check(f.code.Start, max(f.acc, 1))
	}
}

// check inserts a charge and a test.
func (f *function) check(at, cost int) {
	f.edit(edit{kind: editCheck, at: at, end: at, cost: cost})
	f.acc, f.paid = 0, true
}

// leave charges what was spent, because control can leave the function here. A
// cost of up to leafCost is left to the caller, which pays for it with the call.
func (f *function) leave() {
	if !f.dead && f.acc > leafCost {
		f.edit(edit{kind: editAdd, at: f.code.Start, end: f.code.Start, cost: f.acc})
		f.acc = 0
	}
}

func (f *function) jump(label uint32) {
	if int(label) == len(f.frames)-1 {
		f.leave()
		return
	}
	f.branch(label)
}

func (f *function) call() {
	c, rw := f.code, f.rw
	tail := c.Op == wasmbin.OpReturnCall
	if c.Index < rw.imported {
		f.spend(costHost)
	} else {
		f.spend(costCall)
		if tail || !rw.leaf[c.Index-rw.imported] {
			f.test()
		}
	}
	if tail {
		f.leave()
	}
	f.reindex()
	if tail {
		f.dead = true
	}
}

// reindex replaces the index in the instruction with the function's new one.
func (f *function) reindex() {
	if i := f.rw.shift(f.code.Index); i != f.code.Index {
		f.edit(edit{kind: editIndex, at: f.code.Start + 1, end: f.code.End, index: i})
	}
}

// bulk leaves small constant lengths unchanged, charges others once they are
// known, and has a helper process long ones in pieces.
func (f *function) bulk(length int64) {
	switch {
	case f.dead:
	case length >= 0 && length <= smallBulk:
		f.spend(4 + int(length)/smallBulkRate)
	default:
		f.spend(costBulk)
		h := helperFill
		if f.code.Op == wasmbin.OpMemoryCopy {
			h = helperCopy
		}
		f.edit(edit{kind: editBulk, at: f.code.Start, end: f.code.End, index: f.rw.helper(h)})
		f.lengths = true
	}
}

// pay has a helper charge for the length on top of the stack.
func (f *function) pay() {
	if f.dead {
		return
	}
	f.spend(costBulk)
	h := helperPayElements
	if f.code.Op == wasmbin.OpMemoryInit {
		h = helperPayBytes
	}
	f.edit(edit{kind: editCall, at: f.code.Start, end: f.code.Start, index: f.rw.helper(h)})
}

// findLeaves finds the small functions without loops and calls that cost so
// little that their callers pay for them.
func (rw *rewriter) findLeaves(code *wasmbin.Code) error {
	rw.leaf = make([]bool, len(rw.m.Bodies))
	for i, b := range rw.m.Bodies {
		if b.Size > leafSize {
			continue
		}
		code.Open(i)
		cost := 0
		for code.Next() {
			switch code.Op {
			case wasmbin.OpLoop, wasmbin.OpBrTable, wasmbin.OpCall, wasmbin.OpCallIndirect, wasmbin.OpReturnCall, wasmbin.OpReturnCallIndirect:
				cost = leafCost + 1
			default:
				cost += costOf(code.Op)
			}
		}
		if err := code.Err(); err != nil {
			return err
		}
		rw.leaf[i] = cost <= leafCost
	}
	return nil
}
