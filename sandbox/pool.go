package sandbox

import "sync"

// pool keeps instances that wait for their next call. The one that was used
// last is used next: its pages are in the caches, and the others can be seen to
// be too many.
type pool struct {
	mu   sync.Mutex
	idle []*instance
	most int
	// spare is how many were idle all the time since the last sweep.
	spare  int
	closed bool
}

func (p *pool) take() *instance {
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

// put is false where there is no room; the instance is still the caller's then.
func (p *pool) put(i *instance) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.most {
		return false
	}
	p.idle = append(p.idle, i)
	return true
}

// held is how many instances are idle, and how many bytes of their pages they
// keep.
func (p *pool) held() (idle int, kept int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.idle {
		kept += i.kept
	}
	return len(p.idle), kept
}

// sweep takes out those that nobody needed since the last sweep. They are the
// caller's to close.
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

// close takes out all and takes no more.
func (p *pool) close() []*instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	out := p.idle
	p.idle = nil
	return out
}
