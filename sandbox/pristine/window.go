package pristine

import (
	"time"

	"github.com/ruedo-dev/ruedo/sandbox/thread"
)

// Begin opens the window in which writes are noticed: from before the input is
// written until after the output is read. It ties the goroutine to its thread
// until End. All writes to the memory must come from this goroutine in a window.
// There can be several windows between two restores, but they cannot nest.
func (m *Memory) Begin() {
	m.running = true
	m.span.Begin()
}

// CPU returns the processor time that the window, which is open, took so far.
func (m *Memory) CPU() time.Duration { return m.span.CPU() }

// End closes the window. It must be called on the goroutine that called Begin,
// however the call ended; defer it. Without a window it does nothing. It
// returns what the window took.
func (m *Memory) End() thread.Used {
	if !m.running {
		return thread.Used{}
	}
	m.running = false
	used := m.span.End()
	if !m.counted {
		used.Faulted = true
	}
	if used.Faulted {
		m.dirty = true
	}
	return used
}
