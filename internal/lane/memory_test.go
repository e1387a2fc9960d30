package lane_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
)

// network is a network in memory, for tests whose time is that of synctest. It is
// a listener as well.
type network struct {
	conns    chan net.Conn
	closed   chan struct{}
	once     sync.Once
	up, down direction // to the core, to the runner
}

type direction struct {
	delay  time.Duration // of each packet; set before use
	lost   atomic.Bool   // nothing arrives any more, and no sender notices
	bytes  atomic.Int64
	writes atomic.Int64
}

func newNetwork() *network {
	return &network{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error   { n.once.Do(func() { close(n.closed) }); return nil }
func (n *network) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	runner, core := net.Pipe()
	in := newSide(core, &n.down)
	select {
	case n.conns <- in:
		return newSide(runner, &n.up), nil
	case <-n.closed:
	case <-ctx.Done():
	}
	in.Close()
	return nil, net.ErrClosed
}

// cut makes everything vanish that is sent from now on, both ways.
func (n *network) cut() { n.up.lost.Store(true); n.down.lost.Store(true) }

// side is one side of a connection.
type side struct {
	net.Conn
	out     *direction
	packets chan packet // on the way
	ended   chan struct{}
	end     sync.Once
}

type packet struct {
	data []byte
	due  time.Time
}

func newSide(c net.Conn, out *direction) *side {
	s := &side{Conn: c, out: out, packets: make(chan packet, 1000), ended: make(chan struct{})}
	go s.carry() // until Close
	return s
}

func (s *side) carry() {
	for {
		select {
		case p := <-s.packets:
			time.Sleep(time.Until(p.due))
			_, _ = s.Conn.Write(p.data) // fails when an end has closed
		case <-s.ended:
			return
		}
	}
}

func (s *side) Write(b []byte) (int, error) {
	if s.out.lost.Load() {
		return len(b), nil
	}
	s.out.bytes.Add(int64(len(b)))
	s.out.writes.Add(1)
	select {
	case s.packets <- packet{bytes.Clone(b), time.Now().Add(s.out.delay)}:
		return len(b), nil
	case <-s.ended:
		return 0, net.ErrClosed
	}
}

// Close is noticed by the other side unless what this one sends is lost.
func (s *side) Close() error {
	s.end.Do(func() { close(s.ended) })
	if s.out.lost.Load() {
		return s.Conn.SetReadDeadline(time.Unix(1, 0))
	}
	return s.Conn.Close()
}

// attach returns the ends of a lane over the network, with the default times. A
// zero range means what this version speaks.
func (n *network) attach(t *testing.T, ofCore, ofRunner protocol.Range, r *fakeRunner) (*core, *lane.Lane, *lane.Conn) {
	t.Helper()
	c := newCoreOn(t, n, func(cfg *lane.HubConfig) { cfg.Speak(ofCore) })
	cfg := n.config(c, r)
	cfg.Speak(ofRunner)
	l, conn := c.attach(cfg)
	return c, l, conn
}

func (n *network) config(c *core, r *fakeRunner) lane.ConnConfig {
	cfg := c.config("edge-1", r)
	cfg.DialWith(n.dial)
	return cfg
}
