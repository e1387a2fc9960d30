package fuel

import (
	"runtime"
	"time"
)

// HostCall counts a call of a host function, as one step. It ends the call if there
// were too many.
func (m *Meter) HostCall() {
	b := m.budget
	if b.hostCalls++; b.hostCalls > b.HostCalls {
		b.stop(StopHostCalls)
	}
	b.step(0)
}

// Step must be called for whatever a host function repeats, with the number of
// bytes that it is about to move. It ends the call if its time is over.
func (m *Meter) Step(bytes int) { m.budget.step(bytes) }

// Yield lets others run.
func (m *Meter) Yield() {
	m.leave()
	runtime.Gosched()
	m.enter()
}

// Sleep sleeps, and ends the call if that ends first. Meanwhile it holds
// neither the thread nor a slot.
func (m *Meter) Sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	m.leave()
	m.release()
	b, why := m.budget, Running
	if left := time.Until(b.Deadline); left <= d {
		d, why = left, StopTimeout
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.Context.Done():
		why = StopOf(b.Context.Err())
	}
	if why != Running {
		b.stop(why)
	}
	m.enter()
}
