// Package budget shares a number of bytes among owners that wait in FIFO order.
//
//	b := budget.New(96 << 20)
//	if b.Acquire(ctx, nil, owner, n) {
//		defer b.Release(owner, n)
//	}
package budget

import (
	"context"
	"slices"
	"sync"
)

// Budget bounds the bytes that are held at the same time. A claim that does not
// fit waits in FIFO order. An owner that already holds bytes cannot go above
// half of the budget, so that it cannot keep all others waiting. Its methods can
// be called from many goroutines at the same time.
type Budget struct {
	mu    sync.Mutex
	free  int64
	share int64 // of one owner
	held  map[any]int64
	queue []*claim
}

type claim struct {
	owner any
	bytes int64
	given chan struct{} // closed with Budget.mu held
}

// New returns a budget of so many bytes.
func New(bytes int64) *Budget {
	return &Budget{free: bytes, share: bytes / 2, held: make(map[any]int64)}
}

// Acquire waits until bytes are free, ctx ends or gone is closed. It reports
// whether it acquired them. bytes must not exceed the budget.
func (b *Budget) Acquire(ctx context.Context, gone <-chan struct{}, owner any, bytes int64) bool {
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

// Release releases bytes that the owner has acquired.
func (b *Budget) Release(owner any, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(owner, bytes)
	b.serve()
}

func (b *Budget) put(owner any, bytes int64) {
	b.free += bytes
	if b.held[owner] -= bytes; b.held[owner] <= 0 {
		delete(b.held, owner)
	}
}

// serve grants free bytes to waiting claims. It skips an owner that would
// exceed its share. Otherwise the first claim that does not fit holds up those
// behind it, so that small claims do not starve a large one. The caller holds
// b.mu.
func (b *Budget) serve() {
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
