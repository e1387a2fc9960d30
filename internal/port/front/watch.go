package front

import "time"

const (
	// glance is how often the watch looks for callers who have left, and how old a
	// request is when it looks first.
	glance = 50 * time.Millisecond
	// seldom is the longest time between two looks at a request. It is looked at again
	// when it is a quarter older.
	seldom = 500 * time.Millisecond
)

// watched is what the watch knows about a connection.
type watched struct {
	gone   func() bool // whether the peer has closed its end; nil if nobody can say
	began  int64       // of the request that was looked at last
	lookAt int64
}

// watch cancels requests whose callers have left, until there are no connections.
func (f *Front) watch() {
	t := time.NewTicker(glance)
	defer t.Stop()
	var old []*conn
	for {
		select {
		case <-t.C:
		case <-f.down.Done():
			return
		}
		now := time.Now().UnixNano()
		old = old[:0]
		f.mu.Lock()
		if len(f.conns) == 0 {
			f.watched = false
			f.mu.Unlock()
			return
		}
		for c := range f.conns {
			if c.due(now) {
				old = append(old, c)
			}
		}
		f.mu.Unlock()
		for _, c := range old {
			if c.gone() {
				c.cancel()
			}
		}
	}
}

// due reports whether it is time to look at the request in flight.
func (c *conn) due(now int64) bool {
	began := c.since.Load()
	if began == 0 || c.gone == nil || now-began < int64(glance) {
		return false
	}
	if began != c.began {
		c.began, c.lookAt = began, now
	}
	if now < c.lookAt {
		return false
	}
	c.lookAt = now + min(max((now-began)/4, int64(glance)), int64(seldom))
	return true
}
