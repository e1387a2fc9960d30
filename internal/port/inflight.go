package port

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// shards keep requests that begin and end at the same time from contending for
// one lock.
const shards = 16

// inflight is the set of requests that are being handled.
type inflight struct {
	n     atomic.Int64 // without streams
	next  atomic.Uint32
	parts [shards]struct {
		mu   sync.Mutex
		head *exchange // of a list
		_    [48]byte  // a cache line each
	}

	mu   sync.Mutex
	zero chan struct{} // closed when the last one ends; nil if nothing waits
}

// add registers a request and reports whether at most limit are in flight.
func (f *inflight) add(x *exchange, limit int) bool {
	if f.n.Add(1) > int64(limit) {
		f.done()
		return false
	}
	x.shard = f.next.Add(1) % shards
	p := &f.parts[x.shard]
	p.mu.Lock()
	if x.next = p.head; x.next != nil {
		x.next.prev = x
	}
	p.head, x.listed = x, true
	p.mu.Unlock()
	return true
}

func (f *inflight) remove(x *exchange) {
	p := &f.parts[x.shard]
	p.mu.Lock()
	if x.next != nil {
		x.next.prev = x.prev
	}
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		p.head = x.next
	}
	x.next, x.prev, x.listed = nil, nil, false
	p.mu.Unlock()
	f.done()
}

func (f *inflight) done() {
	if f.n.Add(-1) > 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.zero != nil && f.n.Load() == 0 {
		close(f.zero)
		f.zero = nil
	}
}

// each calls visit with every request in flight, one at a time.
func (f *inflight) each(visit func(*exchange)) {
	for i := range f.parts {
		p := &f.parts[i]
		p.mu.Lock()
		for x := p.head; x != nil; x = x.next {
			visit(x)
		}
		p.mu.Unlock()
	}
}

// with calls do if x is still in flight, which it stays until do returns.
func (f *inflight) with(x *exchange, do func()) {
	p := &f.parts[x.shard]
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.listed {
		do()
	}
}

// wait returns when no request is in flight, or with an error when ctx ends.
func (f *inflight) wait(ctx context.Context) error {
	for {
		f.mu.Lock()
		if f.zero == nil {
			f.zero = make(chan struct{})
		}
		zero := f.zero
		f.mu.Unlock()
		if f.n.Load() == 0 {
			return nil
		}
		select {
		case <-zero:
		case <-ctx.Done():
			return fmt.Errorf("%d requests were still in flight: %w", f.n.Load(), ctx.Err())
		}
	}
}
