package dispatch

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// DefaultStartWait is how long after its start a core waits for its first
// runner: runners that know it redial several times a second.
const DefaultStartWait = 2 * time.Second

// maxWaiting bounds the calls that wait for the first runner: each holds its
// input.
const maxWaiting = 1024

// start is the time in which calls wait for the first runner. It ends with that
// runner, or when the time is over, and never comes again.
type start struct {
	until   time.Time
	came    chan struct{} // closed when the first runner is added
	waiting atomic.Int64
}

// await returns nil when a runner has come. Otherwise the error says why the
// call did not start.
func (d *Dispatcher) await(ctx context.Context) error {
	s := &d.start
	left := time.Until(s.until)
	if left <= 0 {
		return d.noRunner(nil)
	}
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return d.noRunner(nil)
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-s.came:
		return nil
	case <-timer.C:
		return d.noRunner(nil)
	case <-ctx.Done():
		e := *fault.Of(ctx.Err())
		e.NotStarted = true
		return &e
	}
}

// arrived notes that a runner was added. With d.mu held.
func (s *start) arrived() {
	select {
	case <-s.came:
	default:
		close(s.came)
	}
}

// Ready reports whether a runner takes calls: what a load balancer asks of a
// core before it sends any.
func (d *Dispatcher) Ready() bool {
	for _, m := range d.live.Load().members {
		if m.Ready() {
			return true
		}
	}
	return false
}
