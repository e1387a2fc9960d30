package fuel

import (
	"context"
	"errors"
	"time"
)

// Budget is what one call can use, and the reason why it was stopped.
type Budget struct {
	// Context is the caller's: the call ends with it.
	Context context.Context
	// Deadline is when the call's own time limit ends, or its caller's deadline if
	// that is earlier.
	Deadline time.Time
	// CPU is the limit on processor time.
	CPU time.Duration
	// Fuel is the limit on fuel; 0 means no limit.
	Fuel uint64
	// HostCalls is the limit on calls of host functions.
	HostCalls int
	// Long is what a call has that can last for hours, and nil for others.
	Long *Long

	// Stopped is why the host stopped the call; Running if it did not.
	Stopped Stop

	ofCaller  bool // Deadline is
	hostCalls int
	steps     int // since the clock was last read
}

// EndWith sets the context of the caller, and the deadline: the end of the call's own
// time, or the caller's deadline if that is earlier.
func (b *Budget) EndWith(ctx context.Context, own time.Time) {
	b.Context, b.Deadline = ctx, own
	if by, ok := ctx.Deadline(); ok && by.Before(own) {
		b.Deadline, b.ofCaller = by, true
	}
}

// Turn is the right to execute, which a call releases while it waits. Its
// methods are called by one goroutine at a time.
type Turn interface {
	// Pause releases the turn, unless the call has none.
	Pause()
	// Resume waits for a turn again, or until ctx ends: then it returns ctx's error.
	Resume(ctx context.Context) error
}

// patience is the longest time for which a guest sleeps without releasing its turn:
// then queueing for a turn again would cost more than others gain.
const patience = 100 * time.Microsecond

// Stop is why the host stopped a call.
type Stop uint8

// The reasons to stop a call.
const (
	Running      Stop = iota
	StopTimeout       // the limit of time
	StopDeadline      // the caller's deadline
	StopCanceled      // the caller is gone
	StopCPU
	StopFuel
	StopHostCalls
	StopStack
	StopIdle // no byte moved for too long
)

// errStopped is what a host function panics with to end a call.
var errStopped = errors.New("the call was stopped")

// StopOf returns what the error of a caller's context means for its call.
func StopOf(err error) Stop {
	if errors.Is(err, context.DeadlineExceeded) {
		return StopDeadline
	}
	return StopCanceled
}

// stop ends the call: it leaves the guest's code for good.
func (b *Budget) stop(why Stop) {
	b.Stopped = why
	panic(errStopped)
}

// Long is what only a call has that can last for hours.
type Long struct {
	// Every is the time for which it has CPU and HostCalls again.
	Every time.Duration
	// Turn is released while the guest waits. Nil: nothing is.
	Turn Turn
	// Grace is how long the call goes on after its caller has left, so that the guest
	// can clean up.
	Grace time.Duration

	began time.Time     // of the present Every
	cpu   time.Duration // processor time that was used before
	gone  func()        // called when the caller has left and the grace begins
	left  bool          // the caller has
}

// renew begins the next part if the last one is over, and reports whether it is.
// cpu is what the call has used of processor time.
func (b *Budget) renew(now time.Time, cpu time.Duration) bool {
	r := b.Long
	if r == nil || now.Sub(r.began) < r.Every {
		return false
	}
	r.began, r.cpu, b.hostCalls = now, cpu, 0
	return true
}

// cpuLimit returns how much processor time the call can have used.
func (b *Budget) cpuLimit() time.Duration {
	if b.Long == nil {
		return b.CPU
	}
	return b.Long.cpu + b.CPU
}

// checkTime ends the call if its time is over.
func (b *Budget) checkTime(now time.Time) {
	if b.Context.Err() != nil {
		b.leave(now)
	}
	if !now.Before(b.Deadline) {
		b.stop(b.Over())
	}
}

// leave ends the call with its caller's context, or begins its grace.
func (b *Budget) leave(now time.Time) {
	l := b.Long
	if why := b.Over(); why != StopCanceled || l == nil || l.Grace <= 0 {
		b.stop(why)
	}
	l.left, b.Context = true, context.WithoutCancel(b.Context)
	if end := now.Add(l.Grace); end.Before(b.Deadline) {
		b.Deadline = end
	}
	l.gone()
}

// Left reports whether the caller has left and the call went on.
func (b *Budget) Left() bool { return b.Long != nil && b.Long.left }

// Over returns why a call is stopped whose time is over.
func (b *Budget) Over() Stop {
	switch err := b.Context.Err(); {
	case b.Left():
		return StopCanceled
	case err != nil:
		return StopOf(err)
	case b.ofCaller:
		return StopDeadline // its context is about to end
	}
	return StopTimeout
}

// stepsPerLook is the number of steps after which a host function reads the
// clock, which costs more than most steps. A guest that computes in between is
// checked in refuel.
const stepsPerLook = 64

// step counts one step plus one for each KiB of bytes. It ends the call if its
// time is over.
func (b *Budget) step(bytes int) {
	if b.steps += 1 + bytes>>10; b.steps >= stepsPerLook {
		b.steps = 0
		b.checkTime(time.Now())
	}
}
