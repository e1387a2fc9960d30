package lane

import (
	"context"
	"sync"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/lane/pending"
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
	// Set before answer: the deadline is over, or what streams in the call broke.
	late, broke bool
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

// calls are those that wait for their answers.
type calls struct{ *pending.Table[call] }

func newCalls() calls {
	return calls{pending.New(func(c *call) {
		c.late = true
		c.answer <- struct{}{}
	})}
}

// body returns the input of a call that the runner has yet to fetch.
func (p calls) body(id uint64) (b *body) {
	p.With(id, func(c *call) { b = c.body })
	return b
}

// stream returns what streams in a call; nil if the call is gone or nothing does.
func (p calls) stream(id uint64) (s *stream.Call) {
	p.With(id, func(c *call) { s = c.stream })
	return s
}

// claim returns the push of a call and the id of its plan, to the first caller
// only; nil if the call is gone or already has a push.
func (p calls) claim(id uint64) (claimed *push, plan string) {
	p.With(id, func(c *call) {
		if c.push == nil {
			c.push = &push{gone: make(chan struct{})}
			claimed, plan = c.push, c.req.GetPlan()
		}
	})
	return claimed, plan
}

// inFlight returns at most limit calls.
func (p calls) inFlight(limit int) (all []executor.InFlight) {
	p.Each(func(c *call) bool {
		if r := c.req; r != nil && len(all) < limit {
			all = append(all, executor.InFlight{Plan: r.GetPlan(), CallID: r.GetCallId(), Service: r.GetService(), Context: c.ctx})
		}
		return len(all) < limit
	})
	return all
}

// fail answers every call with a nil frame and stops accepting calls.
func (p calls) fail() {
	p.Close(func(c *call) {
		c.frame = nil
		c.answer <- struct{}{}
	})
}
