package port

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// shards keep requests that begin and end at the same time from meeting at one
// lock.
const shards = 16

// inflight is the set of requests that are being handled.
type inflight struct {
	n     atomic.Int64 // but for streams
	next  atomic.Uint32
	parts [shards]struct {
		mu  sync.Mutex
		all map[*exchange]struct{}
		_   [40]byte // a cache line each
	}

	mu   sync.Mutex
	zero chan struct{} // closed when the last one ends; nil if nobody waits
}

func (f *inflight) init() {
	for i := range f.parts {
		f.parts[i].all = make(map[*exchange]struct{})
	}
}

// add registers a request and reports whether there are at most limit.
func (f *inflight) add(x *exchange, limit int) bool {
	if f.n.Add(1) > int64(limit) {
		f.done()
		return false
	}
	x.shard = f.next.Add(1) % shards
	p := &f.parts[x.shard]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[x] = struct{}{}
	return true
}

func (f *inflight) remove(x *exchange) {
	p := &f.parts[x.shard]
	p.mu.Lock()
	delete(p.all, x)
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

// each calls visit with every request that is in flight, one at a time.
func (f *inflight) each(visit func(*exchange)) {
	for i := range f.parts {
		p := &f.parts[i]
		p.mu.Lock()
		for x := range p.all {
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
	if _, ok := p.all[x]; ok {
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
