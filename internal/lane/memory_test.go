package lane_test

import (
	"bytes"
	"context"
	"io"
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
	runner, core := newSides(&n.up, &n.down)
	select {
	case n.conns <- core:
		return runner, nil
	case <-n.closed:
	case <-ctx.Done():
	}
	core.Close()
	runner.Close()
	return nil, net.ErrClosed
}

// cut makes everything vanish that is sent from now on, both ways.
func (n *network) cut() { n.up.lost.Store(true); n.down.lost.Store(true) }

// side is one side of a connection, each direction of which ends alone, as with TCP.
type side struct {
	net.Conn
	out     *direction
	packets chan packet // on the way
	other   *side
	last    atomic.Bool // the other side sends no more
	ended   chan struct{}
	end     sync.Once
}

type packet struct {
	data []byte // nil: the last one
	due  time.Time
}

func newSides(up, down *direction) (runner, core *side) {
	a, b := net.Pipe()
	runner = &side{Conn: a, out: up, packets: make(chan packet, 1000), ended: make(chan struct{})}
	core = &side{Conn: b, out: down, packets: make(chan packet, 1000), ended: make(chan struct{})}
	runner.other, core.other = core, runner
	go runner.carry() // until Close
	go core.carry()
	return runner, core
}

func (s *side) carry() {
	for {
		select {
		case p := <-s.packets:
			if !s.await(p.due) {
				return
			}
			if p.data == nil {
				s.other.last.Store(true)
				_ = s.other.SetReadDeadline(time.Unix(1, 0))
				continue
			}
			_, _ = s.Conn.Write(p.data) // fails when an end has closed
		case <-s.ended:
			return
		}
	}
}

// await waits for a time, but not beyond Close: a bubble's time ends with its test.
func (s *side) await(due time.Time) bool {
	left := time.Until(due)
	if left <= 0 {
		return true
	}
	select {
	case <-time.After(left):
		return true
	case <-s.ended:
		return false
	}
}

func (s *side) Write(b []byte) (int, error) {
	if s.out.lost.Load() {
		return len(b), nil
	}
	s.out.bytes.Add(int64(len(b)))
	s.out.writes.Add(1)
	if err := s.send(bytes.Clone(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (s *side) send(data []byte) error {
	select {
	case s.packets <- packet{data, time.Now().Add(s.out.delay)}:
		return nil
	case <-s.ended:
		return net.ErrClosed
	}
}

func (s *side) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if err != nil && s.last.Load() {
		err = io.EOF
	}
	return n, err
}

func (s *side) CloseWrite() error {
	if s.out.lost.Load() {
		return nil
	}
	return s.send(nil)
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
