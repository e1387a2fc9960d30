package admission

import (
	"context"
	"time"
)

// Stream is an open call of kind http. Its methods are for one goroutine at a time.
type Stream[P Plan] struct {
	queue     *Queue[P]
	service   string
	queued    bool // it counts as a call in the queue: it has not paused yet. Guarded by Queue.mu
	executing bool // it has a slot
	since     time.Time
}

// begin notes that the call has got a slot.
func (x *Stream[P]) begin() {
	if x != nil {
		x.executing, x.since = true, time.Now()
	}
}

// end returns for how long the call had its slot; took if it is of another kind.
func (x *Stream[P]) end(took time.Duration) time.Duration {
	if x == nil {
		return took
	}
	x.executing = false
	return time.Since(x.since)
}

// Pause releases the slot while the call waits. It does nothing if the call has
// none.
func (x *Stream[P]) Pause() {
	if !x.executing {
		return
	}
	took, q := x.end(0), x.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if x.queued {
		x.queued = false
		q.calls--
		q.services[x.service].calls--
	}
	q.pass(x.service, took)
}

// Resume waits for a slot after [Stream.Pause], in the line of the service, or until
// ctx ends: then it returns ctx's error, and the call still has none.
func (x *Stream[P]) Resume(ctx context.Context) error {
	if x.executing {
		return nil
	}
	if w := x.queue.queue(x.service); w != nil {
		select {
		case <-w.decided:
		case <-ctx.Done():
			if x.queue.withdraw(x.service, w) {
				return ctx.Err()
			}
		}
	}
	x.begin()
	return nil
}

// queue takes a slot, or returns what waits for one in the line of the service.
// Unlike join, it refuses nobody.
func (q *Queue[P]) queue(service string) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.services[service]
	if q.room(s) {
		q.executing++
		s.executing++
		return nil
	}
	w := &waiter{decided: make(chan struct{})}
	q.line(s, w)
	return w
}
