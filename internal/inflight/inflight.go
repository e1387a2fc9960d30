// Package inflight counts work in flight, so that closing something can wait
// for it.
package inflight

import (
	"context"
	"sync"
)

// Group is work in flight. The zero value is open. It is safe for concurrent use.
type Group struct {
	mu     sync.Mutex
	count  int
	closed bool
	empty  chan struct{} // made by Wait, closed when the last one leaves
}

// Enter adds work and returns true, or returns false if the group is closed.
// Call Leave when the work is done.
func (g *Group) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.count++
	return true
}

// Leave removes work.
func (g *Group) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count--; g.count == 0 && g.empty != nil {
		close(g.empty)
	}
}

// Close makes Enter return false from now on. It can be called more than once.
func (g *Group) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// Closed reports whether Close was called.
func (g *Group) Closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// Wait closes the group and waits until all work has left. If ctx ends sooner, it
// returns ctx's error and can be called again.
func (g *Group) Wait(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true
	if g.empty == nil {
		g.empty = make(chan struct{})
		if g.count == 0 {
			close(g.empty)
		}
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	default:
	}
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
