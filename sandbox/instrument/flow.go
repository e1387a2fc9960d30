package instrument

import "github.com/ruedo-dev/ruedo/internal/wasmbin"

// state is what is known at one point of the code.
type state struct {
	acc  int  // spent since the last charge, on the most expensive path to here
	paid bool // every path to here passed a test since the function was entered
	dead bool // no path leads here
}

// join returns the state at the point where two paths meet.
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
	before state      // at the beginning of the block, after the condition of an if
	label  state      // joined over all branches to the label

	// Of loops:
	at     int // where it begins
	head   int // the edit after its head, priced at its end
	entry  int // the edit before it
	copies int // of its body; 0 if it is not unrolled
	carry  int // spent before the loop and carried in its state; -1 if it is charged
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

// target returns the frame that a label refers to.
func (f *flow) target(label uint32) *frame { return &f.frames[len(f.frames)-1-int(label)] }

// branch joins the present state into the label's state.
func (f *flow) branch(label uint32) {
	t := f.target(label)
	t.label = t.label.join(f.state)
}

// otherwise enters the else of the innermost if.
func (f *flow) otherwise() {
	f.branch(0)
	t := f.target(0)
	t.op = wasmbin.OpElse
	f.state = t.before
}

// close ends the innermost block and returns its frame.
func (f *flow) close() frame {
	t := *f.target(0)
	f.frames = f.frames[:len(f.frames)-1]
	switch t.op {
	case wasmbin.OpLoop: // only falling through reaches its end
	case wasmbin.OpIf: // without else: a false condition leads here
		f.state = f.join(t.label).join(t.before)
	default:
		f.state = f.join(t.label)
	}
	return t
}
