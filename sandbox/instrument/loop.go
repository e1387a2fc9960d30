package instrument

import "github.com/ruedo-dev/ruedo/internal/wasmbin"

// A small innermost loop
//
//	loop BODY end
//
// becomes, behind one test for all copies of its body,
//
//	block loop TEST (block BODY br 2 end) ... BODY end end
//
// A branch back to the head leaves the block of its copy and so continues with
// the next copy. Running off the end of a copy leaves both outer blocks.
const (
	unrollSize   = unrollBytes / 2 // largest body that is considered, in bytes
	unrollCopies = 8
	unrollCost   = 96  // of all copies
	unrollBytes  = 160 // the same: larger loops gain less than their copies cost
)

// loop describes the body of a loop that was read ahead.
type loop struct {
	flow
	labels []label
	blobs  []byte // unrolled bodies of the current function
}

// label is a place in the body where an instruction refers to a label.
type label struct {
	at, end int
	index   uint32
	depth   int // of blocks that are open around it, within the body
}

func (f *function) openLoop() {
	at := f.code.Start
	entry := f.edit(edit{kind: editAdd, at: at, end: at})
	head := f.edit(edit{kind: editCheck, at: f.code.End, end: f.code.End})
	copies, cost := 0, 0
	if !f.dead {
		copies, cost = f.lookAhead()
	}
	t := f.open(wasmbin.OpLoop)
	t.at, t.entry, t.head, t.copies, t.carry = at, entry, head, copies, -1
	if !f.dead {
		if t.before.acc <= leafCost {
			t.carry = t.before.acc
		}
		f.state = state{acc: max(t.carry, 0), paid: true}
		if copies > 0 {
			f.acc += (copies - 1) * cost // at the head of the last copy
		}
	}
}

// closeLoop prices the head of a loop: each pass charges for the most expensive
// way back to it.
//
// Usually it charges in advance: when the loop is left at its end, its last
// round is already paid for. If little was spent before the loop, that is
// carried through it, and the code after the loop pays for both. If it was
// more, either the head charges for it in the first round, or the code before
// the loop charges for the rest, and the last round is still to be paid.
func (f *function) closeLoop(t frame) {
	head, entry := &f.edits[t.head], &f.edits[t.entry]
	if t.before.dead {
		return
	}
	if t.label.dead { // no path leads back
		head.cost = max(t.before.acc, 1)
		return
	}
	if t.carry >= 0 {
		head.cost = max(t.label.acc-t.carry, 1)
		f.acc = t.carry + max(f.acc-t.carry-head.cost, 0)
	} else {
		head.cost = max(t.label.acc, 1)
		entry.cost = max(t.before.acc-head.cost, 0)
	}
	if t.copies > 0 {
		blob := [2]int{len(f.loop.blobs), 0}
		f.loop.unroll(f.rw.file, head.at, f.code.Start, t.copies)
		blob[1] = len(f.loop.blobs)
		*head = edit{kind: editLoop, at: t.at, end: f.code.End, cost: head.cost, blob: blob}
	}
}

// lookAhead reads the body of the loop in front of the code. It returns how
// many copies to make and what one of them costs; 0 copies if the loop should
// not be unrolled.
func (f *function) lookAhead() (copies, cost int) {
	c := *f.code
	if c.Value != wasmbin.EmptyBlock {
		return 0, 0
	}
	l := &f.loop
	l.reset(wasmbin.OpLoop)
	l.labels = l.labels[:0]
	begin, outer := c.End, len(f.frames) // from here on, labels belong to the function
	for c.Next() && c.Start-begin <= unrollSize && l.acc <= unrollCost/2 {
		inner := len(l.frames)
		switch c.Op {
		case wasmbin.OpLoop, wasmbin.OpReturn, wasmbin.OpCall, wasmbin.OpCallIndirect, wasmbin.OpReturnCall, wasmbin.OpReturnCallIndirect,
			wasmbin.OpRefFunc, wasmbin.OpMemoryGrow, wasmbin.OpBrTable:
			return 0, 0
		case wasmbin.OpBlock:
			l.open(wasmbin.OpBlock)
		case wasmbin.OpIf:
			l.spend(1)
			l.open(wasmbin.OpIf)
		case wasmbin.OpElse:
			l.otherwise()
		case wasmbin.OpEnd:
			if inner > 1 {
				l.close()
				continue
			}
			way := l.frames[0].label
			if way.dead {
				return 0, 0
			}
			cost = max(way.acc, 1)
			if copies = min(unrollCopies, unrollCost/cost, unrollBytes/(c.Start-begin+1)); copies < 2 {
				return 0, 0
			}
			return copies, cost
		case wasmbin.OpBr, wasmbin.OpBrIf:
			l.spend(1)
			l.labels = append(l.labels, label{at: c.Start + 1, end: c.End, index: c.Index, depth: inner - 1})
			switch to := int(c.Index); {
			case to < inner:
				l.branch(c.Index)
			case to == inner+outer-1: // out of the function; leaving charges
				return 0, 0
			}
			l.dead = l.dead || c.Op == wasmbin.OpBr
		case wasmbin.OpUnreachable:
			l.dead = true
		default:
			n := costOf(c.Op)
			if n >= costBulk {
				return 0, 0
			}
			l.spend(n)
		}
	}
	return 0, 0
}

func (l *loop) spend(n int) {
	if !l.dead {
		l.acc += n
	}
}

// unroll appends copies of the body that was read last to the blobs.
func (l *loop) unroll(file []byte, begin, end, copies int) {
	for i := range copies {
		last := i == copies-1
		further := uint32(2) // additional distance, in blocks, to a label outside the loop
		if last {
			further = 1
		} else {
			l.blobs = asm(l.blobs).block(wasmbin.OpBlock)
		}
		at := begin
		for _, b := range l.labels {
			l.blobs = append(l.blobs, file[at:b.at]...)
			index := b.index
			if int(index) > b.depth {
				index += further
			}
			l.blobs = appendU32(l.blobs, index)
			at = b.end
		}
		l.blobs = append(l.blobs, file[at:end]...)
		if !last {
			l.blobs = asm(l.blobs).index(wasmbin.OpBr, 2).end()
		}
	}
}
