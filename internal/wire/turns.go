package wire

import "runtime"

// heavy is from how many bytes on work on a message takes a turn. It is some
// hundred microseconds of a processor.
const heavy = 64 << 10

// Turns bounds how many goroutines work on large messages at the same time:
// inflate, compress, translate. Each takes tens of milliseconds of a processor,
// and small calls must not queue behind dozens of them.
type Turns chan struct{}

// NewTurns returns turns for half of the processors.
func NewTurns() Turns { return make(Turns, max(1, runtime.GOMAXPROCS(0)/2)) }

// Take waits for a turn if size bytes are worth it, and returns what ends it.
// Turns are short, so nothing else ends the waiting. Nil Turns never wait.
func (t Turns) Take(size int) (done func()) {
	if t == nil || size < heavy {
		return func() {}
	}
	t <- struct{}{}
	return func() { <-t }
}
