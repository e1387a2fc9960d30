// Package pending keeps what waits for an answer, by its id, until that arrives or the
// deadline is over.
//
//	t := pending.New(func(c *call) { c.late = true; c.answer <- struct{}{} })
//	ok := t.Put(id, c, deadline)
//	c := t.Take(id) // nil: somebody else has it
//	t.Close(func(c *call) { c.answer <- struct{}{} })
//
// What is put is taken by exactly one: by Take, by Close, or because it is late. There is
// one timer for all deadlines, set to the first.
package pending

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// shards is in how many parts a Table is, so that callers seldom contend.
const shards = 16

// Table keeps values by their ids. Its methods can be called from many goroutines.
type Table[T any] struct {
	late   func(*T)
	shards [shards]shard[T]
	made   time.Time
	next   atomic.Int64 // when the timer ends, in nanoseconds since then

	expiring sync.Mutex // held while values are late
	mu       sync.Mutex // held while the timer is set
	timer    *time.Timer
	closed   bool
}

type shard[T any] struct {
	mu     sync.Mutex
	values map[uint64]entry[T]
	closed bool
	_      [40]byte // a cache line each
}

type entry[T any] struct {
	value *T
	until int64 // in nanoseconds since the Table was made
}

// never is later than all deadlines.
const never = math.MaxInt64

// New returns an empty Table. late is called with each value whose deadline is over, on
// any goroutine; it must not wait.
func New[T any](late func(*T)) *Table[T] {
	t := &Table[T]{late: late, made: time.Now()}
	t.next.Store(never)
	for i := range t.shards {
		t.shards[i].values = make(map[uint64]entry[T])
	}
	return t
}

func (t *Table[T]) shard(id uint64) *shard[T] { return &t.shards[id%shards] }

// Put adds a value until a deadline; a zero one never comes. It reports false if the Table
// is closed.
func (t *Table[T]) Put(id uint64, value *T, deadline time.Time) bool {
	e := entry[T]{value, never}
	if !deadline.IsZero() {
		e.until = int64(deadline.Sub(t.made))
	}
	s := t.shard(id)
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.values[id] = e
	}
	s.mu.Unlock()
	if !closed && e.until < t.next.Load() {
		t.expect(e.until)
	}
	return !closed
}

// Take removes and returns a value, which then belongs to the caller alone; nil if it is
// gone.
func (t *Table[T]) Take(id uint64) *T {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	value := s.values[id].value
	delete(s.values, id)
	return value
}

// With calls f with a value that nobody takes meanwhile, if it is there.
func (t *Table[T]) With(id uint64, f func(*T)) {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.values[id]; ok {
		f(e.value)
	}
}

// Each calls f as With does, for each value until f returns false.
func (t *Table[T]) Each(f func(*T) bool) {
	for i := range t.shards {
		if !t.shards[i].each(f) {
			return
		}
	}
}

func (s *shard[T]) each(f func(*T) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.values {
		if !f(e.value) {
			return false
		}
	}
	return true
}

// Close calls f with each value that is left. No more are added, and none is late any
// more.
func (t *Table[T]) Close(f func(*T)) {
	t.mu.Lock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.mu.Unlock()
	t.expiring.Lock()
	defer t.expiring.Unlock()
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		left := s.values
		s.values, s.closed = nil, true
		s.mu.Unlock()
		for _, e := range left {
			f(e.value)
		}
	}
}

// expect has expire called at a deadline.
func (t *Table[T]) expect(until int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || until >= t.next.Load() {
		return
	}
	t.next.Store(until)
	left := time.Duration(until) - time.Since(t.made)
	if t.timer == nil {
		t.timer = time.AfterFunc(left, t.expire)
		return
	}
	t.timer.Reset(left)
}

// expire removes the values whose deadline is over.
func (t *Table[T]) expire() {
	t.expiring.Lock()
	defer t.expiring.Unlock()
	t.next.Store(never) // values that are added from now on may be overlooked below
	now, first := int64(time.Since(t.made)), int64(never)
	for i := range t.shards {
		late, next := t.shards[i].expire(now)
		first = min(first, next)
		for _, value := range late {
			t.late(value)
		}
	}
	t.expect(first)
}

// expire removes and returns the values whose deadline is over, and says when the next one
// is.
func (s *shard[T]) expire(now int64) (late []*T, next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next = never
	for id, e := range s.values {
		if e.until <= now {
			delete(s.values, id)
			late = append(late, e.value)
		} else {
			next = min(next, e.until)
		}
	}
	return late, next
}
