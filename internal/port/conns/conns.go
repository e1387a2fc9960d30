// Package conns are the open connections of a server: which of them can be spared, and how
// they are closed so that thousands at a time delay nobody else.
//
//	s := conns.New(8192)
//	c, ok := s.Add(accepted, access.ViaTCP, "192.0.2.7") // false: there is no room
//	freed := s.Spare(conns.Tick)                          // made some
//
// Time is counted in ticks; see [Set.Next].
package conns

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/internal/short"
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

// Conn is one accepted connection and what its requests hold.
type Conn struct {
	net.Conn
	// Via is one of the words of access, and From the peer's address without a port; ""
	// on a socket.
	Via, From string
	// Bodies and Answers are the bytes in flight, of the server's budgets.
	Bodies, Answers atomic.Int64

	set  *Set
	once sync.Once
	// idle is the first full tick without a request in flight, or 0. It is 1 from
	// when a request was ended.
	idle atomic.Int64
	// fresh is true until the first request has been read.
	fresh atomic.Bool
	// since is the first full tick after it was accepted.
	since    int64
	accepted time.Time
	resets   atomic.Int64
	read     atomic.Int64 // bytes since the last pause
	host     atomic.Pointer[string]
}

// Read reads what the peer has sent.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), pauseAfter)])
	if c.read.Add(int64(n)) >= pauseAfter {
		c.read.Store(0)
		time.Sleep(pause)
	}
	return n, err
}

// NetConn returns the connection itself.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends what is sent, so that the peer sees the end of an answer while it
// still sends.
func (c *Conn) CloseWrite() error { return CloseWrite(c.Conn) }

// CloseWrite calls the method of that name of a connection that has one.
func CloseWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close waits for the connection's turn and closes it.
func (c *Conn) Close() error {
	c.once.Do(func() { c.set.remove(c) })
	return c.set.close(c.Conn)
}

// HangUp closes the connection immediately: a request might arrive while Close
// waits for its turn.
func (c *Conn) HangUp() {
	c.once.Do(func() { c.set.remove(c) })
	_ = c.Conn.Close()
}

// Reset counts a stream that its caller has abandoned.
func (c *Conn) Reset() {
	if c.resets.Add(1) > maxResets {
		c.HangUp()
	}
}

// Ended takes note that a request was ended: the connection is about to be closed, so it
// is the first to make room.
func (c *Conn) Ended() { c.idle.Store(1) }

// Known returns the host that the connection's last request named, if it was allowed; ""
// otherwise, and for nil.
func (c *Conn) Known() string {
	if c == nil {
		return ""
	}
	if h := c.host.Load(); h != nil {
		return *h
	}
	return ""
}

// Know takes note of a host that is allowed.
func (c *Conn) Know(host string) { c.host.Store(&host) }

type key struct{}

// With lets a request find its connection.
func With(ctx context.Context, nc net.Conn) context.Context {
	if c := Of(nc); c != nil {
		return context.WithValue(ctx, key{}, c)
	}
	return ctx
}

// Of returns the connection below one that a server has; nil if it is of no Set.
func Of(nc net.Conn) *Conn {
	for {
		if c, ok := nc.(*Conn); ok {
			return c
		}
		above, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		nc = above.NetConn()
	}
}

// From returns the connection that a request came over, nil if its context knows none.
func From(ctx context.Context) *Conn {
	c, _ := ctx.Value(key{}).(*Conn)
	return c
}

// Set is the open connections of a server.
type Set struct {
	limit int
	tick  atomic.Int64 // of the watch; times are counted in it

	mu  sync.Mutex
	all map[*Conn]struct{}

	// closing holds how many have been closed, and is empty while one is being
	// closed.
	closing chan int
}

// New returns an empty set for up to limit connections.
func New(limit int) *Set {
	s := &Set{limit: limit, all: make(map[*Conn]struct{}), closing: make(chan int, 1)}
	s.closing <- 0
	return s
}

// close closes one connection at a time. Closing takes the system tens of
// microseconds. If thousands ended at the same moment, all of them would be
// ahead of everything else in the queue for a CPU.
func (s *Set) close(c net.Conn) error {
	n := <-s.closing + 1
	defer func() { s.closing <- n }()
	if n%closeAtOnce == 0 {
		time.Sleep(pause)
	}
	return c.Close()
}

// Add registers a connection that has just been accepted. It reports false if there is no
// room.
func (s *Set) Add(nc net.Conn, via, from string) (*Conn, bool) {
	c := &Conn{Conn: short.Conn(nc), Via: via, From: from, set: s, since: s.tick.Load() + 1, accepted: time.Now()}
	c.fresh.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= s.limit {
		return nil, false
	}
	s.all[c] = struct{}{}
	return c, true
}

// sample is how many connections are examined to find the least useful one, so
// that a flood of connections does not cost the square of their number.
const sample = 128

// Patience is how long a connection may do nothing before it can be spared.
type Patience int

// How long that is.
const (
	Tick   Patience = iota // a full tick
	While                  // until another connection comes; an idle one, no time
	NoTime                 // no time
)

// Spare closes a connection that is idle, or else one that has not sent a request
// yet, if it has done nothing for as long as p says. It reports whether there was
// one.
func (s *Set) Spare(p Patience) bool {
	now := s.tick.Load()
	var idle, fresh *Conn
	s.mu.Lock()
	looked, silent := 0, 0
	for c := range s.all { // in random order
		if t := c.idle.Load(); t != 0 && (t < now || p > Tick) && (idle == nil || t < idle.idle.Load()) {
			idle = c
		}
		if c.fresh.Load() && (c.since < now || p > Tick) {
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
	if c == nil && (p != While || silent > 1) {
		c = fresh
	}
	if c == nil {
		return false
	}
	c.HangUp()
	return true
}

func (s *Set) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

// Count returns how many are open.
func (s *Set) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// Next begins a tick; resets are counted per tick.
func (s *Set) Next() {
	s.tick.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if c.resets.Load() != 0 {
			c.resets.Store(0)
		}
	}
}

// Changed is the server's hook for the states of connections.
func (s *Set) Changed(nc net.Conn, state http.ConnState) {
	c := Of(nc)
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

// Expectant reports whether there is a connection without a request in flight.
func (s *Set) Expectant() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if c.fresh.Load() || c.idle.Load() != 0 {
			return true
		}
	}
	return false
}
