package admission

import (
	"fmt"
	"sync/atomic"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// Concurrency bounds how many calls of one plan are in flight on a runner.
type Concurrency struct {
	// Limit set by the plan's decorators; 0 means none.
	Limit int64
	calls atomic.Int64
}

// enter counts a call; it returns CONCURRENCY_LIMIT if there are too many.
func (c *Concurrency) enter(service string) *fault.Error {
	if c.Limit == 0 {
		return nil
	}
	if c.calls.Add(1) > c.Limit {
		c.calls.Add(-1)
		return fault.New(fault.ConcurrencyLimit, "service %s has reached its limit of calls on this runner: %d in flight", service, c.Limit).
			With("limit", fmt.Sprint(c.Limit)).WithFix("call again later, start another runner, or %s", limits.Raise("", limits.Concurrency))
	}
	return nil
}

func (c *Concurrency) leave() {
	if c.Limit != 0 {
		c.calls.Add(-1)
	}
}
