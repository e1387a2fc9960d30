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
// where a branch back to the head leads out of a copy's own block and so into
// the next copy, and running off the end of a copy leaves both outer blocks.
const (
	unrollSize   = unrollBytes / 2 // bytes of a body that is looked at
	unrollCopies = 8
	unrollCost   = 96  // of all copies
	unrollBytes  = 160 // the same: larger loops gain less than their copies weigh
)

// loop is what is known of the body of a loop that is looked at ahead.
type loop struct {
	flow
	labels []label
	blobs  []byte // unrolled bodies of the present function
}

// label is a place in the body where a branch names a label.
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

// closeLoop prices the head of a loop: each time it is passed, it charges for
// the most expensive way back to it.
//
// Mostly that is in advance: when the loop is left at its end, its last round is
// paid for already. What little was spent on the way to the loop is carried
// through it, so that what comes behind pays for both at once. Where it is more,
// the head charges for it the first time, or what is before for the rest, and the
// last round is still to be paid.
func (f *function) closeLoop(t frame) {
	head, entry := &f.edits[t.head], &f.edits[t.entry]
	if t.before.dead {
		return
	}
	if t.label.dead { // nothing leads back
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

// lookAhead reads the body of the loop that the code stands before and says
// how many copies of it to make and what one of them costs; 0 where it is not
// to be unrolled.
func (f *function) lookAhead() (copies, cost int) {
	c := *f.code
	if c.Value != wasmbin.EmptyBlock {
		return 0, 0
	}
	l := &f.loop
	l.reset(wasmbin.OpLoop)
	l.labels = l.labels[:0]
	begin, outer := c.End, len(f.frames) // labels from here on are the function's own
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
			case to == inner+outer-1: // out of the function, which charges
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

// unroll appends the body, which was looked at last, so many times to the blobs.
func (l *loop) unroll(file []byte, begin, end, copies int) {
	for i := range copies {
		last := i == copies-1
		further := uint32(2) // blocks that a label beyond the loop is further away
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
