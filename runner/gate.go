package runner

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// gate lets so many calls execute and so many more wait.
//
// It keeps services apart: a call never waits for calls of other services while
// its own has none that executes, and those that wait are let in service by
// service. One that holds all slots, with calls that loop or sleep until their
// time is up, holds up nobody else. The slots beyond the concurrency that this
// takes are as many again at most. Nor may one service fill the room to wait in: a
// quarter of it is for others.
type gate struct {
	concurrency int
	limit       int // of calls that execute or wait
	most        int // of them for one service

	mu        sync.Mutex
	calls     int // that execute or wait
	executing int
	services  map[string]*share
	waiting   []*share // with waiters, the next to be let in first
}

// share is what one service has of a gate.
type share struct {
	calls     int // that execute or wait
	executing int
	waiters   []chan struct{} // closed for who is let in
}

func newGate(concurrency, queue int) *gate {
	limit := concurrency + queue
	return &gate{concurrency: concurrency, limit: limit, most: max(concurrency, (limit*3+3)/4), services: make(map[string]*share)}
}

// admit counts a call of a service in; QUEUE_FULL where there is no room. A call
// that was admitted must leave.
func (g *gate) admit(service string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.share(service)
	defer g.forget(service, s)
	switch {
	case g.calls >= g.limit:
		return refuse(fault.New(fault.QueueFull, "%d calls execute and wait on this runner, its limit", g.limit).
			With("limit", fmt.Sprint(g.limit)).WithFix("call again later, or start another runner"))
	case s.calls >= g.most:
		return refuse(fault.New(fault.QueueFull, "%d calls of service %s execute and wait on this runner, the limit for one service", g.most, service).
			With("limit", fmt.Sprint(g.most)).WithFix("call again later, or start another runner"))
	}
	g.calls++
	s.calls++
	return nil
}

// leave counts a call out.
func (g *gate) leave(service string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.services[service]
	g.calls--
	s.calls--
	g.forget(service, s)
}

// share gives what a service has, which may be nothing yet.
func (g *gate) share(service string) *share {
	s := g.services[service]
	if s == nil {
		s = &share{}
		g.services[service] = s
	}
	return s
}

// acquire waits for a slot to execute a call of a service in, until ctx ends.
func (g *gate) acquire(ctx context.Context, service string) error {
	admitted := g.enter(service)
	if admitted == nil {
		return nil
	}
	select {
	case <-admitted:
		return nil
	case <-ctx.Done():
		if !g.withdraw(service, admitted) {
			g.release(service) // it was let in meanwhile
		}
		return refuse(fault.Of(ctx.Err()))
	}
}

// enter takes a slot, or gives what is closed once there is one.
func (g *gate) enter(service string) (admitted chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.share(service)
	if g.room(s) {
		g.executing++
		s.executing++
		return nil
	}
	if len(s.waiters) == 0 {
		g.waiting = append(g.waiting, s)
	}
	admitted = make(chan struct{})
	s.waiters = append(s.waiters, admitted)
	return admitted
}

// room tells whether a call of the service may execute now.
func (g *gate) room(s *share) bool {
	return g.executing < g.concurrency || s.executing == 0 && g.executing < 2*g.concurrency
}

// withdraw takes back who waits; false where it was let in already.
func (g *gate) withdraw(service string, admitted chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.services[service]
	n := slices.Index(s.waiters, admitted)
	if n < 0 {
		return false
	}
	s.waiters = slices.Delete(s.waiters, n, n+1)
	if len(s.waiters) == 0 {
		g.waiting = slices.DeleteFunc(g.waiting, func(w *share) bool { return w == s })
	}
	g.forget(service, s)
	return true
}

// release gives a slot back, to the service whose turn it is. One that has nothing
// executing any more may go on beside it.
func (g *gate) release(service string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.services[service]
	g.executing--
	s.executing--
	g.forget(service, s)
	for n := 0; n < len(g.waiting); {
		next := g.waiting[n]
		if !g.room(next) {
			n++
			continue
		}
		g.executing++
		next.executing++
		close(next.waiters[0])
		next.waiters = next.waiters[1:]
		g.waiting = slices.Delete(g.waiting, n, n+1)
		if len(next.waiters) > 0 {
			g.waiting = append(g.waiting, next)
		}
	}
}

// forget drops a service that has no calls, so that names which come and go do
// not fill the memory.
func (g *gate) forget(service string, s *share) {
	if s.calls == 0 && s.executing == 0 && len(s.waiters) == 0 {
		delete(g.services, service)
	}
}

// refuse says that the call did not start.
func refuse(e *fault.Error) *fault.Error {
	c := *e
	c.NotStarted = true
	return &c
}
