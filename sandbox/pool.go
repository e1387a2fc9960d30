package sandbox

import "sync"

// pool holds idle instances. It reuses the most recently used one first: its
// pages are in the caches, and surplus instances become apparent.
type pool struct {
	mu    sync.Mutex
	idle  []*instance
	limit int
	// spare is how many instances were idle all the time since the last sweep.
	spare  int
	closed bool
}

// get returns an idle instance, or nil.
func (p *pool) get() *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	i := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	p.spare = min(p.spare, n-1)
	return i
}

// put reports whether there was room; if not, the caller keeps the instance.
func (p *pool) put(i *instance) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.limit {
		return false
	}
	p.idle = append(p.idle, i)
	return true
}

// held returns how many instances are idle, and how many bytes of their pages they
// retain.
func (p *pool) held() (idle int, retained int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.idle {
		retained += i.retained
	}
	return len(p.idle), retained
}

// sweep removes the instances that nobody needed since the last sweep. The caller
// must close them.
func (p *pool) sweep() []*instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := append([]*instance(nil), p.idle[:p.spare]...)
	rest := copy(p.idle, p.idle[p.spare:])
	clear(p.idle[rest:])
	p.idle = p.idle[:rest]
	p.spare = rest
	return out
}

// close removes all and accepts no more. The caller must close them.
func (p *pool) close() []*instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	out := p.idle
	p.idle = nil
	return out
}
