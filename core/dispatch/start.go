package dispatch

import (
	"context"
	"sync/atomic"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// DefaultStartWait is how long after its start a core waits for its first
// runner. Runners that know the core redial several times a second.
const DefaultStartWait = 2 * time.Second

// maxWaiting bounds the calls that wait for the first runner, because each of
// them holds its input.
const maxWaiting = 1024

// start is the period in which calls wait for the first runner. It ends when
// that runner is added or the time is over, and is never repeated.
type start struct {
	until   time.Time
	came    chan struct{} // closed when the first runner is added
	waiting atomic.Int64
}

// await returns nil when a runner has been added. Otherwise its error says why
// the call did not start.
func (d *Dispatcher) await(ctx context.Context, req *runnerv1.ExecuteRequest) error {
	s := &d.start
	left := time.Until(s.until)
	if left <= 0 {
		return d.noRunner(nil)
	}
	gaveUp := d.noRunner
	if limit := executor.MaxWait(req); limit < left {
		left = limit
		gaveUp = func(error) error { return executor.QueueTimeout(req.GetService(), "the first runner", limit) }
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
		return gaveUp(nil)
	case <-ctx.Done():
		e := *fault.FromError(ctx.Err())
		e.NotStarted = true
		return &e
	}
}

// arrived records that a runner was added. The caller holds d.mu.
func (s *start) arrived() {
	select {
	case <-s.came:
	default:
		close(s.came)
	}
}

// Ready reports whether a runner accepts calls. A load balancer asks this
// before it sends calls to the core.
func (d *Dispatcher) Ready() bool {
	for _, m := range d.live.Load().members {
		if m.Ready() {
			return true
		}
	}
	return false
}
