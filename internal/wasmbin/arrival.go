package wasmbin

import (
	"iter"
	"math"
)

// Arrival admits a module while it arrives: what [Admit] would do at the end is
// done as far as the bytes go that are there.
//
//	space := make([]byte, size)
//	a := wasmbin.NewArrival(space, limits)
//	defer a.Close()
//	for part := range parts {
//		n += copy(space[n:], part)
//		a.Got(n)
//	}
//	info, err := a.Admit()
//
// It is Admit, only that it pauses where a byte is missing: so both give the same
// answers. However small the parts are, nothing is read twice but a body that is
// wrong, and what is left after the last byte does not grow with the module. For one
// goroutine at a time.
type Arrival struct {
	file   []byte
	limits Limits
	got    int // bytes of file that are there
	want   int // bytes of file that the reading waits for

	next func() (struct{}, bool) // reads on, until a byte is missing or all is done
	stop func()
	// pause is for the reading: it is false when nobody waits for an answer. It is
	// nil where the whole file was there from the start.
	pause func(struct{}) bool

	info *Info
	err  error
}

// NewArrival prepares to admit the module that will stand in file, which it has
// the size of. Nothing of it is looked at yet. Close must be called.
func NewArrival(file []byte, l Limits) *Arrival {
	a := &Arrival{file: file, limits: l.WithDefaults(), err: errClosed}
	a.next, a.stop = iter.Pull(func(yield func(struct{}) bool) {
		a.pause = yield
		a.info, a.err = a.admit()
		a.want = math.MaxInt
	})
	return a
}

// Got says that the first n bytes of the file are there, which from now on must
// not change, and does what there is to do about them: at most some milliseconds
// for each megabyte that is new. What is wrong with the module is for Admit to say.
func (a *Arrival) Got(n int) {
	if a.got = max(a.got, min(n, len(a.file))); a.got >= a.want {
		a.next()
	}
}

// Admit says what the module is, or why it is refused, as the function of this
// name does. The whole file must be there.
func (a *Arrival) Admit() (*Info, error) {
	a.Got(len(a.file))
	return a.info, a.err
}

// Close ends the work and lets go of the file. It may be called at any time, and
// again; Admit may not be called after it.
func (a *Arrival) Close() { a.stop() }

// await pauses until the first n bytes of the file are there. It is false if they
// will never be read.
func (a *Arrival) await(n int) bool {
	for a.got < n {
		if a.want = n; !a.pause(struct{}{}) {
			return false
		}
	}
	return true
}
