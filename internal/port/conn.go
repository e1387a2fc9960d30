package port

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxResets is how many streams a connection can reset in one tick before it is
// closed. Hedging clients cancel some; an attacker starts work by the thousand
// and abandons it.
const maxResets = 1000

const (
	// A connection pauses for a moment each time it has sent this many bytes. A
	// goroutine that always finds more to read never parks. With as many of
	// these as CPUs, the scheduler polls the network for all others only every
	// 10 ms.
	pauseAfter = 256 << 10
	pause      = 100 * time.Microsecond
	// closeAtOnce is how many connections are closed between two pauses.
	closeAtOnce = 16
)

// conn is one accepted connection and what its requests hold.
type conn struct {
	net.Conn
	set  *conns
	once sync.Once
	// idle is the first full tick without a request in flight, or 0. It is 1 from
	// when a request was ended.
	idle atomic.Int64
	// fresh is true until the first request has been read.
	fresh atomic.Bool
	// since is the first full tick after it was accepted.
	since    int64
	accepted time.Time
	via      string // one of the words of access
	from     string // the peer's address without a port; "" on a socket
	resets   atomic.Int64
	read     atomic.Int64 // bytes since the last pause

	bodies, answers atomic.Int64 // bytes in flight, of the server's budgets
	host            atomic.Pointer[string]
}

// Read reads what the peer has sent.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), pauseAfter)])
	if c.read.Add(int64(n)) >= pauseAfter {
		c.read.Store(0)
		time.Sleep(pause)
	}
	return n, err
}

// Close waits for the connection's turn and closes it.
func (c *conn) Close() error {
	c.once.Do(func() { c.set.remove(c) })
	return c.set.close(c.Conn)
}

// hangUp closes the connection immediately: a request might arrive while Close
// waits for its turn.
func (c *conn) hangUp() {
	c.once.Do(func() { c.set.remove(c) })
	_ = c.Conn.Close()
}

// reset counts a stream that its caller has abandoned.
func (c *conn) reset() {
	if c.resets.Add(1) > maxResets {
		c.hangUp()
	}
}

type connKey struct{}

// withConn lets a request find its connection.
func withConn(ctx context.Context, nc net.Conn) context.Context {
	if c := connOf(nc); c != nil {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// Caller returns the address at the other end of the connection that a request
// came over, "" if its context is of no request to a Server.
func Caller(ctx context.Context) string {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		return c.RemoteAddr().String()
	}
	return ""
}

// conns are the open connections of a server.
type conns struct {
	limit int
	tick  atomic.Int64 // of the watch; times are counted in it

	mu  sync.Mutex
	all map[*conn]struct{}

	// closing holds how many have been closed, and is empty while one is being
	// closed.
	closing chan int
}

func newConns(limit int) *conns {
	s := &conns{limit: limit, all: make(map[*conn]struct{}), closing: make(chan int, 1)}
	s.closing <- 0
	return s
}

// close closes one connection at a time. Closing takes the system tens of
// microseconds. If thousands ended at the same moment, all of them would be
// ahead of everything else in the queue for a CPU.
func (s *conns) close(c net.Conn) error {
	n := <-s.closing + 1
	defer func() { s.closing <- n }()
	if n%closeAtOnce == 0 {
		time.Sleep(pause)
	}
	return c.Close()
}

// add registers a connection and reports whether there was room.
func (s *conns) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= s.limit {
		return false
	}
	s.all[c] = struct{}{}
	return true
}

// sample is how many connections are examined to find the least useful one, so
// that a flood of connections does not cost the square of their number.
const sample = 128

// patience is how long a connection may do nothing before it can be spared.
type patience int

const (
	aTick  patience = iota // a full tick
	aWhile                 // until another connection comes; an idle one, no time
	noTime                 // no time
)

// spare closes a connection that is idle, or else one that has not sent a request
// yet, if it has done nothing for as long as p says. It reports whether there was
// one.
func (s *conns) spare(p patience) bool {
	now := s.tick.Load()
	var idle, fresh *conn
	s.mu.Lock()
	looked, silent := 0, 0
	for c := range s.all { // in random order
		if t := c.idle.Load(); t != 0 && (t < now || p > aTick) && (idle == nil || t < idle.idle.Load()) {
			idle = c
		}
		if c.fresh.Load() && (c.since < now || p > aTick) {
			if silent++; fresh == nil || c.accepted.Before(fresh.accepted) {
				fresh = c
			}
		}
		if looked++; looked >= sample && (idle != nil || silent > 1) {
			break
		}
	}
	s.mu.Unlock()
	c := idle
	if c == nil && (p != aWhile || silent > 1) {
		c = fresh
	}
	if c == nil {
		return false
	}
	c.hangUp()
	return true
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

func (s *conns) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// next begins a tick; resets are counted per tick.
func (s *conns) next() {
	s.tick.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if c.resets.Load() != 0 {
			c.resets.Store(0)
		}
	}
}

// changed is the server's hook for the states of connections.
func (s *conns) changed(nc net.Conn, state http.ConnState) {
	c := connOf(nc)
	if c == nil {
		return
	}
	switch state {
	case http.StateActive:
		c.fresh.Store(false)
		c.idle.Store(0)
	case http.StateIdle:
		c.fresh.Store(false)
		c.idle.Store(s.tick.Load() + 1)
	}
}
