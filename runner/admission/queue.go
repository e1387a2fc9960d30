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
	calls     int // executing or waiting
	executing int
	waiters   []chan struct{} // closed when the call gets its slot
}

// admit counts a call of a service, if there is room. The call must leave.
func (q *Queue[P]) admit(service string) *fault.Error {
	if !q.inflight.Enter() {
		return q.Draining()
	}
	err := q.count(service)
	if err != nil {
		q.inflight.Leave()
	}
	return err
}

func (q *Queue[P]) count(service string) *fault.Error {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.share(service)
	defer q.forget(service, s)
	switch {
	case q.calls >= q.limit:
		return fault.New(fault.QueueFull, "this runner has %d calls in flight or queued, its limit", q.limit).
			With("limit", fmt.Sprint(q.limit)).WithFix("call again later, or start another runner")
	case s.calls >= q.serviceLimit:
		return fault.New(fault.QueueFull, "service %s has %d calls in flight or queued on this runner, the per-service limit", service, q.serviceLimit).
			With("limit", fmt.Sprint(q.serviceLimit)).WithFix("call again later, or start another runner")
	}
	q.calls++
	s.calls++
	return nil
}

// leave ends the counting of a call.
func (q *Queue[P]) leave(service string) {
	defer q.inflight.Leave()
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.services[service]
	q.calls--
	s.calls--
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
// ends.
func (q *Queue[P]) acquire(ctx context.Context, service string, maxWait time.Duration) *fault.Error {
	admitted := q.line(service)
	if admitted == nil {
		return nil
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-admitted:
		return nil
	case <-timer.C:
		if !q.withdraw(service, admitted) {
			return nil // it was let in meanwhile
		}
		return executor.QueueTimeout(service, "a slot on runner "+q.cfg.Runner, maxWait)
	case <-ctx.Done():
		if !q.withdraw(service, admitted) {
			q.release(service) // it was let in meanwhile
		}
		return fault.FromError(ctx.Err())
	}
}

// line takes a slot, or returns a channel that is closed when there is one.
func (q *Queue[P]) line(service string) (admitted chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.share(service)
	if q.room(s) {
		q.executing++
		s.executing++
		return nil
	}
	if len(s.waiters) == 0 {
		q.waiting = append(q.waiting, s)
	}
	admitted = make(chan struct{})
	s.waiters = append(s.waiters, admitted)
	return admitted
}

// room reports whether a call of the service can execute now.
func (q *Queue[P]) room(s *share) bool {
	return q.executing < q.cfg.Concurrency || s.executing == 0 && q.executing < 2*q.cfg.Concurrency
}

// withdraw removes a waiting call. It returns false if the call was already let
// in.
func (q *Queue[P]) withdraw(service string, admitted chan struct{}) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.services[service]
	n := slices.Index(s.waiters, admitted)
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
// service with no executing call left can proceed.
func (q *Queue[P]) release(service string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.services[service]
	q.executing--
	s.executing--
	q.forget(service, s)
	for n := 0; n < len(q.waiting); {
		next := q.waiting[n]
		if !q.room(next) {
			n++
			continue
		}
		q.executing++
		next.executing++
		close(next.waiters[0])
		next.waiters = next.waiters[1:]
		q.waiting = slices.Delete(q.waiting, n, n+1)
		if len(next.waiters) > 0 {
			q.waiting = append(q.waiting, next)
		}
	}
}

// forget drops a service that has no calls, so that short-lived names do not
// fill the memory.
func (q *Queue[P]) forget(service string, s *share) {
	if s.calls == 0 && s.executing == 0 && len(s.waiters) == 0 {
		delete(q.services, service)
	}
}
