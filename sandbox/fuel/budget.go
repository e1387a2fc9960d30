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
	// Deadline is when the call's own time limit ends.
	Deadline time.Time
	// CPU is the limit on processor time.
	CPU time.Duration
	// Fuel is the limit on fuel; 0 means no limit.
	Fuel uint64
	// HostCalls is the limit on calls of host functions.
	HostCalls int

	// Stopped is why the host stopped the call; Running if it did not.
	Stopped Stop

	hostCalls int
	steps     int // since the clock was last read
}

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

// checkTime ends the call if its time is over.
func (b *Budget) checkTime(now time.Time) {
	if err := b.Context.Err(); err != nil {
		b.stop(StopOf(err))
	}
	if !now.Before(b.Deadline) {
		b.stop(StopTimeout)
	}
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
