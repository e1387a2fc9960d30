package wasmbin

import (
	"iter"
	"math"
)

// Admission admits a module while it arrives. It does the work of [Admit] as far
// as the bytes that have arrived allow.
//
//	space := make([]byte, size)
//	a := wasmbin.NewAdmission(space, limits)
//	defer a.Close()
//	for part := range parts {
//		n += copy(space[n:], part)
//		a.Advance(n)
//	}
//	info, err := a.Finish()
//
// It runs the same code as Admit, which pauses when a byte is missing, so both
// return the same answers. However small the parts are, nothing is read twice,
// except a body that is wrong. The work left after the last byte does not grow
// with the module. An Admission must be used by one goroutine at a time.
type Admission struct {
	file   []byte
	limits Limits
	got    int // bytes of file that have arrived
	want   int // bytes of file that the reader waits for

	next func() (struct{}, bool) // reads on, until a byte is missing or everything is read
	stop func()
	// pause is called by the reader. It returns false if nobody waits for an
	// answer. It is nil if the whole file was there from the start.
	pause func(struct{}) bool

	info *Info
	err  error
}

// NewAdmission prepares to admit the module that file will hold; file already has
// the module's size. It reads nothing yet. Close must be called.
func NewAdmission(file []byte, l Limits) *Admission {
	a := &Admission{file: file, limits: l.WithDefaults(), err: errClosed}
	a.next, a.stop = iter.Pull(func(yield func(struct{}) bool) {
		a.pause = yield
		a.info, a.err = a.admit()
		a.want = math.MaxInt
	})
	return a
}

// Advance declares that the first n bytes of the file have arrived and will not
// change, and does the work that they allow: at most a few milliseconds per new
// megabyte. Errors in the module are returned by Finish.
func (a *Admission) Advance(n int) {
	if a.got = max(a.got, min(n, len(a.file))); a.got >= a.want {
		a.next()
	}
}

// Finish returns what [Admit] returns. The whole file must have arrived.
func (a *Admission) Finish() (*Info, error) {
	a.Advance(len(a.file))
	return a.info, a.err
}

// Close ends the work and releases the file. It can be called at any time, and
// more than once. Finish must not be called after it.
func (a *Admission) Close() { a.stop() }

// await pauses until the first n bytes of the file have arrived. It returns
// false if they never will.
func (a *Admission) await(n int) bool {
	for a.got < n {
		if a.want = n; !a.pause(struct{}{}) {
			return false
		}
	}
	return true
}
