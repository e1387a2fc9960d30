// Package redial spaces the attempts to attach to a core.
package redial

import (
	"context"
	"time"

	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// A lost core is dialled every quickBackoff for quickFor: most come back
	// within seconds, and have no runners until then.
	quickBackoff = 250 * time.Millisecond
	quickFor     = 10 * time.Second

	// A core that does not let the runner in is asked again once somebody can have
	// changed that.
	denied = 15 * time.Second

	// Min and Max bound the pauses after that.
	Min = 100 * time.Millisecond
	Max = 5 * time.Second
)

// Pauses spaces the attempts to attach to one core. Its methods must be called
// by one goroutine, except Now.
type Pauses struct {
	since time.Time // when the first attempt in a row failed; zero means none has
	wait  backoff.Backoff
	wake  chan struct{} // ends the current pause, or the next one
}

// New returns the pauses of a core that was not dialled yet.
func New() *Pauses {
	return &Pauses{wait: backoff.Backoff{Base: Min, Max: Max}, wake: make(chan struct{}, 1)}
}

// Failed waits after a failed attempt. Quick attempts are for cores that cannot
// be reached: a core that answers has its reasons.
func (r *Pauses) Failed(ctx context.Context, err error) {
	now := time.Now()
	if r.since.IsZero() {
		r.since = now
	}
	switch reason := fault.ReasonOf(err); {
	case reason == fault.CoreUnreachable && now.Sub(r.since) < quickFor:
		sleep(ctx, backoff.Jitter(quickBackoff), r.wake)
		return
	case reason.ExitCode() == fault.ExitDenied:
		sleep(ctx, backoff.Jitter(denied), r.wake)
		return
	case reason == fault.AlreadyExists:
		r.wait.Exhaust() // another runner with this id was first
	}
	sleep(ctx, r.wait.Next(), r.wake)
}

// Ended waits after a lane that was up for a while ended with err.
func (r *Pauses) Ended(ctx context.Context, err error, lasted time.Duration) {
	r.since = time.Time{}
	if lasted > Max {
		r.wait.Reset()
	}
	if fault.ReasonOf(err) == fault.AlreadyExists {
		r.wait.Exhaust() // do not race with a runner of the same id
	}
	sleep(ctx, r.wait.Next(), r.wake)
}

// Now ends the pause, because the core is known to be back.
func (r *Pauses) Now() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// sleep waits for d, until it is woken or until ctx ends.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}
