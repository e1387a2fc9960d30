package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/grant"
	"github.com/ruedo-dev/ruedo/sandbox/stream"
)

// connection carries a stream of tcp, tls or udp.
func (c *Call) connection(ctx context.Context, t *target, p *stream.Peer) error {
	conn, err := c.connect(ctx, t)
	if err != nil {
		return err
	}
	defer conn.Close()
	// A call that is over, and a guest that closed the stream, end both directions.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	opened(p, conn)
	if d, ok := conn.(duplex); ok {
		return c.bytes(d, p)
	}
	return c.datagrams(ctx, conn, p)
}

// bytes carries a stream of tcp or tls.
func (c *Call) bytes(conn duplex, p *stream.Peer) error {
	sent := make(chan error, 1)
	go func() {
		err := c.up(p, conn)
		if err == nil {
			err = conn.CloseWrite()
		} else {
			p.CloseRead()
		}
		if errors.Is(err, fault.EgressLimit) {
			_ = conn.Close()
		}
		sent <- err
	}()
	err := c.down(conn, p)
	switch {
	case err == nil:
		p.CloseWrite()
	case err != errStopped:
		// The other direction is broken, too, and its reader may wait for the guest.
		p.CloseRead()
		_ = conn.Close()
	}
	// What was sent matters only if reading did not fail: that error is the cause.
	wrote := <-sent
	switch {
	case errors.Is(wrote, fault.EgressLimit):
		return wrote
	case err != nil && err != errStopped:
		return err
	}
	return nil
}

// duplex is a connection of tcp or tls, whose directions end apart.
type duplex interface {
	net.Conn
	CloseWrite() error
}

func (c *Call) connect(ctx context.Context, t *target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.policy.egress.cfg.dialTimeout)
	defer cancel()
	network := "tcp"
	if t.Scheme == grant.UDP {
		network = "udp"
	}
	conn, err := c.policy.dial(ctx, network, t.HostPort())
	if err != nil || t.Scheme != grant.TLS {
		return conn, err
	}
	secure := tls.Client(conn, c.policy.tls(t.Host()))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// opened tells the guest that the connection is there.
func opened(p *stream.Peer, conn net.Conn) {
	head := abi.AppendField(nil, abi.HeadLocal, conn.LocalAddr().String())
	p.Head(abi.AppendField(head, abi.HeadRemote, conn.RemoteAddr().String()))
}

// datagrams carries a stream of udp. Each write of the guest is a datagram, and
// each read is one, or the beginning of it.
func (c *Call) datagrams(ctx context.Context, conn net.Conn, p *stream.Peer) error {
	sent := make(chan error, 1)
	go func() {
		err := c.up(p, conn)
		if err != nil {
			_ = conn.Close() // ends the other direction
		}
		sent <- err
	}()
	err := c.down(conn, p)
	if err != errStopped {
		p.CloseRead()
		_ = conn.Close()
	}
	if wrote := <-sent; wrote != nil && ctx.Err() == nil && !errors.Is(wrote, net.ErrClosed) {
		return wrote
	}
	if err == errStopped {
		return nil
	}
	return err
}
