package core

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// rateWindow is the number of seconds over which calls are averaged.
const rateWindow = 10

// callRate counts calls and knows how many there were per second. Counting costs
// one atomic addition.
type callRate struct {
	total atomic.Int64

	mu sync.Mutex
	// marks are the last totals, one for each second, the oldest first.
	marks []mark
}

type mark struct {
	at    time.Time
	total int64
}

// run takes a mark each second until ctx ends.
func (r *callRate) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for r.mark(time.Now()); ; {
		select {
		case now := <-tick.C:
			r.mark(now)
		case <-ctx.Done():
			return
		}
	}
}

func (r *callRate) mark(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks = append(r.marks, mark{now, r.total.Load()})
	r.marks = r.marks[max(0, len(r.marks)-rateWindow-1):]
}

// perSecond returns the calls per second over the last marks.
func (r *callRate) perSecond() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.marks) < 2 {
		return 0
	}
	first, last := r.marks[0], r.marks[len(r.marks)-1]
	return float64(last.total-first.total) / last.at.Sub(first.at).Seconds()
}
