package transport

import (
	"context"
	"net"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/short"
)

// Dial makes a connection.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer keeps the connections that it has made, so that they can be closed when the
// lane ends. A transport would wait for a peer that no longer answers.
type dialer struct {
	connect Dial
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	over    bool
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		c.Close()
		return nil, net.ErrClosed
	}
	t := &conn{Conn: short.Conn(c), dialer: d}
	d.conns[t] = struct{}{}
	return t, nil
}

func (d *dialer) hangUp() {
	d.mu.Lock()
	d.over = true
	conns := d.conns
	d.conns = nil
	d.mu.Unlock()
	for c := range conns {
		c.Close()
	}
}

type conn struct {
	net.Conn
	dialer *dialer
}

func (c *conn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}
