package runner

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// A lost core is dialled every quickBackoff for quickFor: most come back
	// within seconds, and have no runners until then.
	quickBackoff = 250 * time.Millisecond
	quickFor     = 10 * time.Second

	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// redial spaces the attempts to attach to one core. Its methods must be called
// by one goroutine, except now.
type redial struct {
	since time.Time // when the first attempt in a row failed; zero means none has
	wait  backoff
	wake  chan struct{} // ends the current pause, or the next one
}

func newRedial() *redial { return &redial{wake: make(chan struct{}, 1)} }

// failed waits after a failed attempt. Quick attempts are for cores that cannot
// be reached: a core that answers has its reasons.
func (r *redial) failed(ctx context.Context, err error) {
	now := time.Now()
	if r.since.IsZero() {
		r.since = now
	}
	switch reason := fault.ReasonOf(err); {
	case reason == fault.CoreUnreachable && now.Sub(r.since) < quickFor:
		sleep(ctx, quickBackoff, r.wake)
		return
	case reason == fault.AlreadyExists:
		r.wait = backoff(maxBackoff) // another runner with this id was first
	}
	sleep(ctx, r.wait.next(), r.wake)
}

// ended waits after a lane that was up for a while ended with err.
func (r *redial) ended(ctx context.Context, err error, lasted time.Duration) {
	r.since = time.Time{}
	if lasted > maxBackoff {
		r.wait = 0
	}
	if fault.ReasonOf(err) == fault.AlreadyExists {
		r.wait = backoff(maxBackoff) // do not race with a runner of the same id
	}
	sleep(ctx, r.wait.next(), r.wake)
}

// now ends the pause, because the core is known to be back.
func (r *redial) now() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// backoff grows from minBackoff to maxBackoff; the zero value is its start.
type backoff time.Duration

func (b *backoff) next() time.Duration {
	d := max(time.Duration(*b), minBackoff)
	*b = backoff(min(2*d, maxBackoff))
	return d
}

// sleep waits for a random part of the interval, so that runners that lost the
// same core do not all come back at the same time. It reports false if ctx
// ended.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}
