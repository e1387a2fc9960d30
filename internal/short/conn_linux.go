package short

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// most is how many bytes one system call moves at most: with so few it takes microseconds.
// Longer pieces are written as usual.
const most = 32 << 10

// Conn returns a connection that is read and written like this, or nc itself if that is
// not possible.
func Conn(nc net.Conn) net.Conn {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nc
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nc
	}
	c := &conn{Conn: nc, in: transfer{wait: raw.Read, call: read}, out: transfer{wait: raw.Write, call: write}}
	c.in.ready, c.out.ready = c.in.move, c.out.move
	return c
}

type conn struct {
	net.Conn
	in, out transfer
}

// Read reads what has arrived, or waits for it.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	n, err := c.in.do(p[:min(len(p), most)])
	switch {
	case err != nil:
		return n, c.failed("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write writes p, and nothing that is written at the same time comes in between.
func (c *conn) Write(p []byte) (n int, err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if len(p) > most {
		return c.Conn.Write(p)
	}
	for n < len(p) && err == nil {
		var m int
		m, err = c.out.do(p[n:])
		n += m
	}
	if err != nil {
		return n, c.failed("write", err)
	}
	return n, nil
}

// failed returns an error as package net would.
func (c *conn) failed(op string, err error) error {
	if e, ok := err.(*net.OpError); ok {
		err = e.Err
	} else {
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// NetConn returns the connection itself.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends what is written.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// transfer is one direction of a connection.
type transfer struct {
	mu    sync.Mutex
	wait  func(ready func(fd uintptr) bool) error // until ready returns true
	ready func(fd uintptr) bool                   // move, allocated once
	call  func(fd int, p []byte) (int, error)     // read or write
	p     []byte
	n     int
	err   error
}

// do moves some of p. The caller holds mu.
func (t *transfer) do(p []byte) (int, error) {
	t.p, t.n, t.err = p, 0, nil
	err := t.wait(t.ready)
	t.p = nil
	if err == nil {
		err = t.err
	}
	if err != nil {
		return 0, err
	}
	return t.n, nil
}

// move makes the system call. It reports false if the socket was not ready.
func (t *transfer) move(fd uintptr) bool {
	for {
		t.n, t.err = t.call(int(fd), t.p)
		if t.err != syscall.EINTR {
			return t.err != syscall.EAGAIN
		}
	}
}
