package admission

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// share is the state of one service in a queue.
type share struct {
	calls     int // executing or waiting, without those that have paused
	open      int // of kind http
	executing int
	waiters   []*waiter
	pace      pace
}

// waiter is a call that waits for a slot.
type waiter struct {
	decided chan struct{} // closed when the call gets its slot, or none
	by      time.Time     // deadline of the call; zero if it has none
	late    bool          // its turn came too late, so it gets no slot
}

// admit counts a call of a service, if there is room. The call must leave.
func (q *Queue[P]) admit(service string, x *Stream[P]) *fault.Error {
	if !q.inflight.Enter() {
		return q.Draining()
	}
	err := q.count(service, x)
	if err != nil {
		q.inflight.Leave()
	}
	return err
}

func (q *Queue[P]) count(service string, x *Stream[P]) *fault.Error {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.share(service)
	defer q.forget(service, s)
	switch {
	case x != nil && q.open >= q.cfg.Streams:
		return fault.New(fault.StreamsFull, "this runner has %d requests to services of kind http open, its limit", q.cfg.Streams).
			With("limit", fmt.Sprint(q.cfg.Streams)).WithFix("call again later, start another runner, or raise runner.streams")
	case x != nil && s.open >= q.streamLimit:
		return fault.New(fault.StreamsFull, "service %s has %d requests open on this runner, the per-service limit", service, q.streamLimit).
			With("limit", fmt.Sprint(q.streamLimit)).WithFix("call again later, start another runner, or raise runner.streams")
	case q.calls >= q.limit:
		return fault.New(fault.QueueFull, "this runner has %d calls in flight or queued, its limit", q.limit).
			With("limit", fmt.Sprint(q.limit)).WithFix("call again later, or start another runner").WithRetry(q.wait(s))
	case s.calls >= q.serviceLimit:
		return fault.New(fault.QueueFull, "service %s has %d calls in flight or queued on this runner, the per-service limit", service, q.serviceLimit).
			With("limit", fmt.Sprint(q.serviceLimit)).WithFix("call again later, or start another runner").WithRetry(q.wait(s))
	}
	q.calls++
	s.calls++
	if x != nil {
		x.queued = true
		q.open++
		s.open++
	}
	return nil
}

// leave ends the counting of a call.
func (q *Queue[P]) leave(service string, x *Stream[P]) {
	defer q.inflight.Leave()
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.services[service]
	if x == nil || x.queued {
		q.calls--
		s.calls--
	}
	if x != nil {
		q.open--
		s.open--
	}
	q.forget(service, s)
}

// share returns the state of a service, which can be new.
func (q *Queue[P]) share(service string) *share {
	s := q.services[service]
	if s == nil {
		s = &share{}
		q.services[service] = s
	}
	return s
}

// acquire waits up to maxWait for a slot for a call of a service, or until ctx
// ends. It does not begin to wait if the turn of the call would come too late.
func (q *Queue[P]) acquire(ctx context.Context, service string, maxWait time.Duration) *fault.Error {
	if q.take(service) {
		return nil
	}
	w := &waiter{decided: make(chan struct{})}
	w.by, _ = ctx.Deadline()
	where := "a slot on runner " + q.cfg.Runner
	if wait, can, joined := q.join(service, w, maxWait); !joined {
		return executor.TooLate(service, where, wait, can)
	}
	began := time.Now()
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	var gaveUp *fault.Error
	select {
	case <-w.decided:
	case <-timer.C:
		if q.withdraw(service, w) {
			if !w.by.IsZero() && w.by.Before(began.Add(maxWait)) { // on a busy machine, ctx ends late
				return fault.FromError(context.DeadlineExceeded)
			}
			return executor.QueueTimeout(service, where, maxWait).WithRetry(q.estimate(service))
		}
	case <-ctx.Done():
		gaveUp = fault.FromError(ctx.Err())
		if q.withdraw(service, w) {
			return gaveUp
		}
	}
	switch {
	case w.late:
		return executor.TurnTooLate(service, where, time.Since(began)).WithRetry(q.estimate(service))
	case gaveUp != nil:
		q.release(service, 0) // it was let in meanwhile
	}
	return gaveUp
}

// take takes a slot, and reports whether there was one.
func (q *Queue[P]) take(service string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.share(service)
	if !q.room(s) {
		return false
	}
	q.executing++
	s.executing++
	return true
}

// join makes a call wait, or take a slot that has just become free. If its turn
// would come too late, the call does not join; it would wait for about wait, and
// can wait only for can. The first call in the line of its service always joins,
// so that the line finds out when calls become faster.
func (q *Queue[P]) join(service string, w *waiter, maxWait time.Duration) (wait, can time.Duration, joined bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.share(service)
	if q.room(s) {
		q.executing++
		s.executing++
		close(w.decided)
		return 0, 0, true
	}
	if len(s.waiters) > 0 {
		can = maxWait
		if !w.by.IsZero() {
			can = min(can, time.Until(w.by)-s.pace.enough())
		}
		// A refusal now is better than one after the wait, so an estimate that is
		// wrong by a quarter does not let the call in.
		if wait = q.wait(s); wait > 0 && wait+wait/4 > can {
			return wait, can, false
		}
	}
	q.line(s, w)
	return 0, 0, true
}

// line makes a call the last one in the line of its service. The caller holds q.mu.
func (q *Queue[P]) line(s *share, w *waiter) {
	if len(s.waiters) == 0 {
		q.waiting = append(q.waiting, s)
	}
	s.waiters = append(s.waiters, w)
}

// wait estimates how long a call of the service would wait that joined now: a call
// that executes, and those that get a slot before it, each for as long as its service
// took recently, over the slots. A service that is not known yet counts nothing. The
// caller holds q.mu.
func (q *Queue[P]) wait(s *share) time.Duration {
	ahead := len(s.waiters)
	sum := time.Duration(1+ahead) * s.pace.mean
	for _, other := range q.waiting {
		if other != s { // they take turns
			sum += time.Duration(min(len(other.waiters), ahead+1)) * other.pace.mean
		}
	}
	return sum / time.Duration(q.cfg.Concurrency)
}

// estimate returns how long a call of a service that came now would wait; 0 if it
// would not, or if that is not known.
func (q *Queue[P]) estimate(service string) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := q.services[service]; s != nil {
		return q.wait(s)
	}
	return 0
}

// recent returns how long calls of a service took recently; 0 if that is not
// known. A call of the service is counted.
func (q *Queue[P]) recent(service string) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.services[service].pace.mean
}

// room reports whether a call of the service can execute now.
func (q *Queue[P]) room(s *share) bool {
	return q.executing < q.cfg.Concurrency || s.executing == 0 && q.executing < 2*q.cfg.Concurrency
}

// withdraw removes a waiting call. It returns false if its turn has already come.
func (q *Queue[P]) withdraw(service string, w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.services[service]
	n := slices.Index(s.waiters, w)
	if n < 0 {
		return false
	}
	s.waiters = slices.Delete(s.waiters, n, n+1)
	if len(s.waiters) == 0 {
		q.waiting = slices.DeleteFunc(q.waiting, func(w *share) bool { return w == s })
	}
	q.forget(service, s)
	return true
}

// release passes a slot on to the service whose turn it is. In addition, a
// service with no executing call left can proceed. took is how long the call
// executed; 0 if that is not known.
func (q *Queue[P]) release(service string, took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pass(service, took)
}

// pass is release for a caller that holds q.mu.
func (q *Queue[P]) pass(service string, took time.Duration) {
	s := q.services[service]
	q.executing--
	s.executing--
	s.pace.add(took)
	q.forget(service, s)
	for n := 0; n < len(q.waiting); {
		next := q.waiting[n]
		if !q.room(next) {
			n++
			continue
		}
		if next.next() {
			q.executing++
			next.executing++
		}
		q.waiting = slices.Delete(q.waiting, n, n+1)
		if len(next.waiters) > 0 {
			q.waiting = append(q.waiting, next)
		}
	}
}

// next lets the first waiting call in that can end in time, and sends those before
// it away: executing them would take the slot from others, for nothing. It reports
// whether there was one.
func (s *share) next() bool {
	for len(s.waiters) > 0 {
		w := s.waiters[0]
		s.waiters[0] = nil
		s.waiters = s.waiters[1:]
		w.late = !w.by.IsZero() && time.Until(w.by) < s.pace.mean
		close(w.decided)
		if !w.late {
			return true
		}
	}
	return false
}

// forget drops a service that has no calls, so that short-lived names do not
// fill the memory.
func (q *Queue[P]) forget(service string, s *share) {
	if s.calls == 0 && s.open == 0 && s.executing == 0 && len(s.waiters) == 0 {
		delete(q.services, service)
	}
}
