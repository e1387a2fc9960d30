package lane

import (
	"context"
	"sync"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/lane/stream"
)

// call is an exchange that waits for its answer.
//
// Calls are pooled with their channel. That is safe because exactly one
// goroutine takes a call out of the map. If it is the waiter, nothing is ever
// sent. If it is another goroutine, that one sets frame and sends exactly once
// into the buffered channel, and the waiter receives before it releases the
// call. Either way, when the call returns to the pool, its channel is empty and
// no other goroutine refers to it.
type call struct {
	answer chan struct{}
	frame  *runnerv1.RunnerFrame // nil if the lane ended; set before answer
	push   *push
	body   *body
	stream *stream.Call // nil unless the call is of kind http
	// req and ctx are those of an Execute; req is nil otherwise. They are read
	// only while the call is pending, when its caller still waits.
	req *runnerv1.ExecuteRequest
	ctx context.Context
}

func newCall() any { return &call{answer: make(chan struct{}, 1)} }

// body is an input that the runner fetches.
type body struct {
	mu    sync.Mutex
	input []byte
}

// copyAt copies a piece of the input while it holds the lock, so that nothing
// reads the caller's bytes after drop. ok is false after drop.
func (b *body) copyAt(dst []byte, off int) (n int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.input == nil {
		return 0, false
	}
	return copy(dst, b.input[min(off, len(b.input)):]), true
}

func (b *body) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.input = nil
}

// pending maps ids to calls, in shards so that callers seldom contend.
type pending []shard

type shard struct {
	mu     sync.Mutex
	calls  map[uint64]*call
	closed bool
	_      [40]byte // a cache line each
}

func newPending() pending {
	p := make(pending, 16)
	for i := range p {
		p[i].calls = make(map[uint64]*call)
	}
	return p
}

func (p pending) shard(id uint64) *shard { return &p[id%uint64(len(p))] }

// put adds a call. It returns false if the lane has ended.
func (p pending) put(id uint64, c *call) bool {
	s := p.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.calls[id] = c
	return true
}

// take removes and returns a call, which then belongs to the caller alone; nil
// if it is gone.
func (p pending) take(id uint64) *call {
	s := p.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[id]
	delete(s.calls, id)
	return c
}

// body returns the input of a call that the runner has yet to fetch.
func (p pending) body(id uint64) *body {
	s := p.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.calls[id]; c != nil {
		return c.body
	}
	return nil
}

// stream returns what streams in a call; nil if the call is gone or nothing does.
func (p pending) stream(id uint64) *stream.Call {
	s := p.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.calls[id]; c != nil {
		return c.stream
	}
	return nil
}

// claim returns the push of a call and the id of its plan, to the first caller
// only; nil if the call is gone or already has a push.
func (p pending) claim(id uint64) (*push, string) {
	s := p.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[id]
	if c == nil || c.push != nil {
		return nil, ""
	}
	c.push = &push{gone: make(chan struct{})}
	return c.push, c.req.GetPlan()
}

// inFlight returns at most limit calls.
func (p pending) inFlight(limit int) (calls []executor.InFlight) {
	for i := range p {
		s := &p[i]
		s.mu.Lock()
		for _, c := range s.calls {
			if len(calls) == limit {
				break
			}
			if r := c.req; r != nil {
				calls = append(calls, executor.InFlight{Plan: r.GetPlan(), CallID: r.GetCallId(), Service: r.GetService(), Context: c.ctx})
			}
		}
		s.mu.Unlock()
	}
	return calls
}

// fail answers every call with a nil frame and stops accepting calls.
func (p pending) fail() {
	for i := range p {
		s := &p[i]
		s.mu.Lock()
		left := s.calls
		s.calls, s.closed = nil, true
		s.mu.Unlock()
		for _, c := range left {
			c.frame = nil
			c.answer <- struct{}{}
		}
	}
}
