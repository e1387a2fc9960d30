package instrument

import "github.com/ruedo-dev/ruedo/internal/wasmbin"

// state is what is known at a point of the code.
type state struct {
	acc  int  // spent since the last charge, on the most expensive path that leads here
	paid bool // on every path that leads here there was a test since the function was entered
	dead bool // no path leads here
}

// join is the state where two paths meet.
func (s state) join(o state) state {
	switch {
	case s.dead:
		return o
	case o.dead:
		return s
	}
	return state{acc: max(s.acc, o.acc), paid: s.paid && o.paid}
}

// frame is an open block. Branches to the label of a block, an if or a function
// lead to its end, those to a loop back to its head.
type frame struct {
	op     wasmbin.Op // OpElse in the second half of an if
	before state      // at the block's beginning, behind the condition of an if
	label  state      // of all branches to the label

	// Of loops:
	at     int // where it begins
	head   int // the edit behind its head, to be priced at its end
	entry  int // the edit before it
	copies int // of its body; 0 if it is not unrolled
	carry  int // what was spent before and is in the state within; -1 if that is charged
}

// flow follows control through a function, or through the body of a loop.
type flow struct {
	state
	frames []frame
}

func (f *flow) reset(op wasmbin.Op) {
	f.state = state{}
	f.frames = append(f.frames[:0], frame{op: op, label: state{dead: true}})
}

func (f *flow) open(op wasmbin.Op) *frame {
	f.frames = append(f.frames, frame{op: op, before: f.state, label: state{dead: true}})
	return &f.frames[len(f.frames)-1]
}

// target is the frame that a label names.
func (f *flow) target(label uint32) *frame { return &f.frames[len(f.frames)-1-int(label)] }

// branch adds the present state to those that a label is reached with.
func (f *flow) branch(label uint32) {
	t := f.target(label)
	t.label = t.label.join(f.state)
}

// otherwise goes to the else of the innermost if.
func (f *flow) otherwise() {
	f.branch(0)
	t := f.target(0)
	t.op = wasmbin.OpElse
	f.state = t.before
}

// close ends the innermost block and gives its frame.
func (f *flow) close() frame {
	t := *f.target(0)
	f.frames = f.frames[:len(f.frames)-1]
	switch t.op {
	case wasmbin.OpLoop: // its end is reached from above only
	case wasmbin.OpIf: // without else: a false condition leads here
		f.state = f.join(t.label).join(t.before)
	default:
		f.state = f.join(t.label)
	}
	return t
}
