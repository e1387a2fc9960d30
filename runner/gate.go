package runner

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// gate lets so many calls execute and so many more wait.
type gate struct {
	slots chan struct{}
	calls atomic.Int64 // that execute or wait
	limit int64
}

func newGate(concurrency, queue int) *gate {
	return &gate{slots: make(chan struct{}, concurrency), limit: int64(concurrency + queue)}
}

// admit counts a call in; QUEUE_FULL where there is no room. A call that was
// admitted must leave.
func (g *gate) admit() error {
	if g.calls.Add(1) > g.limit {
		g.calls.Add(-1)
		return refuse(fault.New(fault.QueueFull, "%d calls execute and wait on this runner, its limit", g.limit).
			With("limit", fmt.Sprint(g.limit)).WithFix("call again later, or start another runner: ruedo runner"))
	}
	return nil
}

func (g *gate) leave() { g.calls.Add(-1) }

// acquire waits for a slot to execute in, until ctx ends.
func (g *gate) acquire(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return refuse(fault.Of(ctx.Err()))
	}
}

func (g *gate) release() { <-g.slots }

// refuse says that the call did not start.
func refuse(e *fault.Error) *fault.Error {
	c := *e
	c.NotStarted = true
	return &c
}
