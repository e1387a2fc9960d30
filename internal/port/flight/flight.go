// Package flight keeps the set of requests that are being handled.
package flight

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// shards keep requests that begin and end at the same time from contending for
// one lock.
const shards = 16

// Set is a set of requests. The zero Set is empty.
type Set[T any] struct {
	n     atomic.Int64 // without streams
	next  atomic.Uint32
	parts [shards]struct {
		mu   sync.Mutex
		head *Place[T] // of a list
		_    [48]byte  // a cache line each
	}

	mu   sync.Mutex
	zero chan struct{} // closed when the last one ends; nil if nothing waits
}

// Place is what a request needs to be in a set: it is part of the request, so that
// adding it allocates nothing.
type Place[T any] struct {
	request T
	shard   uint32
	// The rest is under the lock of the shard.
	next, prev *Place[T]
	listed     bool
}

// Add adds a request and reports whether at most limit are in flight.
func (s *Set[T]) Add(p *Place[T], request T, limit int) bool {
	if s.n.Add(1) > int64(limit) {
		s.done()
		return false
	}
	p.request, p.shard = request, s.next.Add(1)%shards
	part := &s.parts[p.shard]
	part.mu.Lock()
	if p.next = part.head; p.next != nil {
		p.next.prev = p
	}
	part.head, p.listed = p, true
	part.mu.Unlock()
	return true
}

// Remove removes a request that was added.
func (s *Set[T]) Remove(p *Place[T]) {
	part := &s.parts[p.shard]
	part.mu.Lock()
	if p.next != nil {
		p.next.prev = p.prev
	}
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		part.head = p.next
	}
	p.next, p.prev, p.listed = nil, nil, false
	part.mu.Unlock()
	s.done()
}

func (s *Set[T]) done() {
	if s.n.Add(-1) > 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zero != nil && s.n.Load() == 0 {
		close(s.zero)
		s.zero = nil
	}
}

// Len returns the number of requests.
func (s *Set[T]) Len() int { return int(s.n.Load()) }

// Each calls visit with every request, one at a time.
func (s *Set[T]) Each(visit func(T)) {
	for i := range s.parts {
		part := &s.parts[i]
		part.mu.Lock()
		for p := part.head; p != nil; p = p.next {
			visit(p.request)
		}
		part.mu.Unlock()
	}
}

// With calls do if a request is still in flight, which it stays until do returns.
func (s *Set[T]) With(p *Place[T], do func()) {
	part := &s.parts[p.shard]
	part.mu.Lock()
	defer part.mu.Unlock()
	if p.listed {
		do()
	}
}

// Wait returns when no request is in flight, or with an error when ctx ends.
func (s *Set[T]) Wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		if s.zero == nil {
			s.zero = make(chan struct{})
		}
		zero := s.zero
		s.mu.Unlock()
		if s.n.Load() == 0 {
			return nil
		}
		select {
		case <-zero:
		case <-ctx.Done():
			return fmt.Errorf("%d requests were still in flight: %w", s.n.Load(), ctx.Err())
		}
	}
}
