package middleware

import "runtime"

// heavy is the size, in bytes, from which work on a message takes a turn. That
// much work takes a few hundred microseconds of CPU time.
const heavy = 64 << 10

// Turns bounds how many goroutines inflate, compress or translate large
// messages at the same time. Each message takes tens of milliseconds of CPU
// time, and small calls must not queue behind dozens of them.
type Turns chan struct{}

// NewTurns returns turns for half of the CPUs.
func NewTurns() Turns { return make(Turns, max(1, runtime.GOMAXPROCS(0)/2)) }

// Take waits for a turn if size is large enough, and returns a function that
// ends the turn. Turns are short, so waiting cannot be cancelled. Nil Turns
// never wait.
func (t Turns) Take(size int) (done func()) {
	if t == nil || size < heavy {
		return func() {}
	}
	t <- struct{}{}
	return func() { <-t }
}
