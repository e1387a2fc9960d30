package lane

import (
	"context"
	"slices"
	"sync"
)

// budget bounds bytes that are held at the same time. Who wants more than there
// is waits, in order of arrival. No owner gets more than half of it while it
// holds any, so that one cannot keep all others waiting.
type budget struct {
	mu    sync.Mutex
	free  int64
	share int64 // of one owner
	held  map[any]int64
	queue []*claim
}

type claim struct {
	owner any
	bytes int64
	given chan struct{} // closed with budget.mu held
}

func newBudget(bytes int64) *budget {
	return &budget{free: bytes, share: bytes / 2, held: make(map[any]int64)}
}

// acquire waits for bytes, which are no more than the budget, until ctx ends or
// gone is closed. It reports whether it got them.
func (b *budget) acquire(ctx context.Context, gone <-chan struct{}, owner any, bytes int64) bool {
	b.mu.Lock()
	c := &claim{owner, bytes, make(chan struct{})}
	b.queue = append(b.queue, c)
	b.serve()
	b.mu.Unlock()
	select {
	case <-c.given:
		return true
	default:
	}
	select {
	case <-c.given:
		return true
	case <-ctx.Done():
	case <-gone:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c.given:
		b.put(owner, bytes)
	default:
		b.queue = slices.DeleteFunc(b.queue, func(o *claim) bool { return o == c })
	}
	b.serve()
	return false
}

func (b *budget) release(owner any, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(owner, bytes)
	b.serve()
}

func (b *budget) put(owner any, bytes int64) {
	b.free += bytes
	if b.held[owner] -= bytes; b.held[owner] <= 0 {
		delete(b.held, owner)
	}
}

// serve gives what is free to those that wait. An owner over its share is passed
// over; otherwise the first that does not fit holds up those behind it, so that a
// large claim is not starved by small ones. With b.mu held.
func (b *budget) serve() {
	left := b.queue[:0]
	blocked := false
	for _, c := range b.queue {
		over := b.held[c.owner] > 0 && b.held[c.owner]+c.bytes > b.share
		if blocked || over || c.bytes > b.free {
			blocked = blocked || !over
			left = append(left, c)
			continue
		}
		b.free -= c.bytes
		b.held[c.owner] += c.bytes
		close(c.given)
	}
	clear(b.queue[len(left):])
	b.queue = left
}
