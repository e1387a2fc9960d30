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
		m.faults, m.switches = threadUsage()
	}
}

// End closes the window. It must be called on the goroutine that called Begin,
// however the call ended; defer it. Without a window it does nothing. It
// reports whether the thread may have taken page faults, in any memory, and
// whether it may have given up its processor since Begin.
func (m *Memory) End() (faulted, switched bool) {
	if !m.running {
		return false, false
	}
	m.running = false
	if !m.counted {
		return true, true
	}
	faults, switches := threadUsage()
	if faulted = faults != m.faults || faults < 0; faulted {
		m.dirty = true
	}
	runtime.UnlockOSThread()
	return faulted, switches != m.switches || faults < 0
}
