package core

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
)

// calls counts requests under way, so that going down can wait for them.
type calls struct {
	n    atomic.Int64
	mu   sync.Mutex
	zero chan struct{} // closed when the last one ends; nil while nobody waits
}

func (c *calls) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.n.Add(1)
		defer c.done()
		next.ServeHTTP(w, r)
	})
}

func (c *calls) done() {
	if c.n.Add(-1) > 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.zero != nil && c.n.Load() == 0 {
		close(c.zero)
		c.zero = nil
	}
}

// wait returns when no request is under way, or with an error when ctx ends.
func (c *calls) wait(ctx context.Context) error {
	c.mu.Lock()
	zero := c.zero
	if c.n.Load() == 0 {
		c.mu.Unlock()
		return nil
	}
	if zero == nil {
		zero = make(chan struct{})
		c.zero = zero
	}
	c.mu.Unlock()
	// The last request may have ended between the count and the channel.
	if c.n.Load() == 0 {
		return nil
	}
	select {
	case <-zero:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d requests were still under way: %w", c.n.Load(), ctx.Err())
	}
}
