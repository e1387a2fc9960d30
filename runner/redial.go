package runner

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// A core that was lost is dialled every quickBackoff for quickFor: most come
	// back within seconds, and have no runners until then.
	quickBackoff = 250 * time.Millisecond
	quickFor     = 10 * time.Second

	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// redial spaces the attempts to attach to one core. It is for one goroutine, but
// for wake.
type redial struct {
	since time.Time // when the first attempt in a row failed; zero means none has
	wait  backoff
	wake  chan struct{} // ends the present pause, or the next one
}

func newRedial() *redial { return &redial{wake: make(chan struct{}, 1)} }

// failed waits after an attempt that failed. The quick time is for cores that
// cannot be reached: one that answers has its reasons.
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
		r.wait = backoff(maxBackoff) // the other runner of this id was first
	}
	sleep(ctx, r.wait.next(), r.wake)
}

// ended waits after a lane that lasted for a while ended with err.
func (r *redial) ended(ctx context.Context, err error, lasted time.Duration) {
	r.since = time.Time{}
	if lasted > maxBackoff {
		r.wait = 0
	}
	if fault.ReasonOf(err) == fault.AlreadyExists {
		r.wait = backoff(maxBackoff) // no race with a runner of the same id
	}
	sleep(ctx, r.wait.next(), r.wake)
}

// now ends the pause: the core is known to be there again.
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
// same core do not come back all together. It reports false if ctx ended.
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
