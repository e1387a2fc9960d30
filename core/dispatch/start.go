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

// start is the period in which calls wait for the first runner that may execute
// them. It ends when the time is over, or, for plans without a placement, when a
// runner accepts calls. It is never repeated.
type start struct {
	until   time.Time
	waiting atomic.Int64

	// Guarded by Dispatcher.mu.
	came  chan struct{} // closed when runners that accept calls change, and replaced
	first bool          // a runner accepts calls, or has
}

// await returns nil when a runner accepts calls that may execute the plan of the
// rotation, even if it has left since. Otherwise its error says why the call did not start.
func (d *Dispatcher) await(ctx context.Context, req *runnerv1.ExecuteRequest, rot *rotation) error {
	s := &d.start
	left := time.Until(s.until)
	if left <= 0 {
		return d.noRunner(rot.placement, nil)
	}
	gaveUp := func() error { return d.noRunner(rot.placement, nil) }
	if limit := executor.MaxWait(req); limit < left {
		left = limit
		gaveUp = func() error { return executor.QueueTimeout(req.GetService(), "the first runner", limit) }
	}
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return d.noRunner(rot.placement, nil).WithRetry(left) // the others have their answer by then
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	for {
		d.mu.Lock()
		came, first := s.came, s.first
		d.mu.Unlock()
		if first && rot.placement.Empty() || len(d.candidates(rot, req.Plan).members) > 0 {
			return nil
		}
		select {
		case <-came:
		case <-timer.C:
			return gaveUp()
		case <-ctx.Done():
			e := *fault.FromError(ctx.Err())
			e.NotStarted = true
			return &e
		}
	}
}

// arrived records that a runner accepts calls. The caller holds d.mu.
func (s *start) arrived() {
	if s.first = true; time.Now().Before(s.until) {
		close(s.came)
		s.came = make(chan struct{})
	}
}

// Ready returns how many runners get calls: those that accept them and are
// neither cordoned nor ejected. If there is none, the error says why. A load
// balancer asks this before it sends calls to the core.
func (d *Dispatcher) Ready() (runners int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refreshSnapshot()
	if runners = len(d.live.Load().members); runners == 0 {
		return 0, d.noRunner(nil, nil)
	}
	return runners, nil
}
