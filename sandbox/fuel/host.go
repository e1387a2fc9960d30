package fuel

import (
	"context"
	"runtime"
	"time"
)

// HostCall counts a call of a host function, as one step. It ends the call if there
// were too many.
func (m *Meter) HostCall() {
	b := m.budget
	if b.hostCalls++; b.hostCalls > b.HostCalls && !b.renew(time.Now(), m.CPU()) {
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
func (m *Meter) Sleep(d time.Duration) { m.Wait(d, nil, nil) }

// Idle ends the call because nothing has moved for too long.
func (m *Meter) Idle() { m.budget.stop(StopIdle) }

// Wait is Sleep, but returns as soon as wake has a value and ready returns true.
// Meanwhile the call has no turn, unless it is known to wait only for a moment.
func (m *Meter) Wait(d time.Duration, wake <-chan struct{}, ready func() bool) {
	if d <= 0 {
		return
	}
	m.leave()
	m.short()
	b, why := m.budget, Running
	if left := time.Until(b.Deadline); left <= d {
		d, why = left, b.Over()
	}
	paused := b.Long != nil && b.Long.Turn != nil && d > patience
	if paused {
		b.Long.Turn.Pause()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for over := false; !over; {
		select {
		case <-t.C:
			over = true
		case <-wake:
			if over = ready(); over {
				why = Running
			}
		case <-b.Context.Done():
			b.leave(time.Now())
			over, why = true, Running // the guest learns of it
		}
	}
	if why != Running {
		b.stop(why)
	}
	if paused {
		m.resume()
	}
	m.enter()
}

// resume waits for the turn of the call, and ends the call if that ends first.
func (m *Meter) resume() {
	for b := m.budget; ; {
		ctx, cancel := context.WithDeadline(b.Context, b.Deadline)
		err := b.Long.Turn.Resume(ctx)
		cancel()
		if err == nil {
			return
		}
		left := b.Left()
		if b.checkTime(time.Now()); b.Left() == left {
			b.stop(b.Over()) // the deadline came first, by a hair
		}
	}
}
