package pristine

import "runtime"

// Begin opens the window in which writes are noticed: from before the input is
// written until after the output is read. It ties the goroutine to its thread
// until End. All writes to the memory must come from this goroutine in a window.
// There can be several windows between two restores, but they cannot nest.
func (m *Memory) Begin() {
	if m.running {
		return
	}
	m.running = true
	if m.counted {
		runtime.LockOSThread()
		m.before = threadFaults()
	}
}

// End closes the window. It must be called on the goroutine that called Begin,
// however the call ended; defer it. Without a window it does nothing. It
// reports whether the thread may have taken page faults, in any memory.
func (m *Memory) End() (faults bool) {
	if !m.running {
		return false
	}
	m.running = false
	if !m.counted {
		return true
	}
	if n := threadFaults(); n != m.before || n < 0 {
		m.dirty, faults = true, true
	}
	runtime.UnlockOSThread()
	return faults
}
