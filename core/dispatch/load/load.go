// Package load counts the calls of one plan, and refuses those that its runners
// have no room for, or could not begin in time. That spares runners calls that they
// would refuse. With several cores, runners know better: they see the calls of all.
//
//	defer l.Leave()
//	n := l.Enter()
//	if err := l.Refuse(ctx, req, n, capacity); err != nil {
//		return nil, err
//	}
//	res, err := execute(req)
//	l.Learn(res, err)
//
// The estimate costs a call that need not wait two comparisons, and the mean of all
// calls one more atomic store.
package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Capacity is what the runners of a plan accept together.
type Capacity struct {
	Limit int64 // calls of the plan in flight; 0 means no limit
	Slots int64 // calls that execute at a time; 0 means not known
}

// Load is the calls of one plan. The zero Load has none. Its methods can be called
// from many goroutines.
type Load struct {
	inFlight atomic.Int64
	took     atomic.Int64 // mean of recent calls, in ns; 0 if not known
}

// Enter counts a call, and returns how many are in flight with it.
func (l *Load) Enter() (n int64) { return l.inFlight.Add(1) }

// Leave ends the counting of a call.
func (l *Load) Leave() { l.inFlight.Add(-1) }

// Refuse returns an error for the nth call in flight if it has no room, or would
// wait longer than it can. The first call in the line never does: so the line finds
// out when calls become faster.
//
// The errors are QUEUE_FULL and QUEUE_TIMEOUT. They say that the call did not start,
// and after which time there is room.
func (l *Load) Refuse(ctx context.Context, req *runnerv1.ExecuteRequest, n int64, c Capacity) error {
	if n <= c.Slots+1 && (n <= c.Limit || c.Limit == 0) {
		return nil
	}
	return l.judge(ctx, req, n, c)
}

// judge is the part of Refuse for a call that would wait.
func (l *Load) judge(ctx context.Context, req *runnerv1.ExecuteRequest, n int64, c Capacity) error {
	wait := l.wait(n, c)
	if n > c.Limit && c.Limit > 0 {
		e := fault.New(fault.QueueFull, "service %s has %d calls in flight or queued, the per-service limit", req.Service, c.Limit).
			With("limit", fmt.Sprint(c.Limit)).WithFix("call again later, or start another runner").WithRetry(wait)
		e.NotStarted = true
		return e
	}
	if wait == 0 {
		return nil
	}
	can := executor.MaxWait(req)
	if deadline, ok := ctx.Deadline(); ok {
		can = min(can, time.Until(deadline)-time.Duration(l.took.Load()))
	}
	// A refusal now is better than one after the wait, so an estimate that is
	// wrong by a quarter does not let the call in.
	if wait+wait/4 <= can {
		return nil
	}
	return executor.TooLate(req.Service, "a slot on a runner", wait, can)
}

// wait estimates how long the nth call in flight waits: until one more call has
// ended than there are ahead of it in the line, each for as long as calls took
// recently, over the slots. It is 0 if that is not known.
func (l *Load) wait(n int64, c Capacity) time.Duration {
	if c.Slots <= 0 || n <= c.Slots {
		return 0
	}
	return time.Duration((n - c.Slots) * l.took.Load() / c.Slots)
}

// maxTook bounds what a runner can say about the time of a call, so that one that
// says anything does not close a service.
const maxTook = time.Hour

// Learn counts how long a call occupied its runner, whether it succeeded or failed.
// A call that did not execute says nothing. Calls that end at the same time may
// count as one.
func (l *Load) Learn(res *runnerv1.ExecuteResponse, err error) {
	info := res.GetInfo()
	if err != nil {
		info, _ = fault.Detail[*ruedov1.CallInfo](err)
	}
	took := int64(min(info.GetDuration().AsDuration(), maxTook))
	mean := l.took.Load()
	switch {
	case took <= 0:
	case mean == 0:
		l.took.Store(took)
	default:
		l.took.Store(mean + (took-mean)/8)
	}
}
