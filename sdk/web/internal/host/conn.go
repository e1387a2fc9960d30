package host

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// Conn is a stream as a net.Conn. Its errors are those of package net.
type Conn struct {
	stream        *Stream
	network       string
	local, remote net.Addr
}

var _ net.Conn = (*Conn)(nil)

// NewConn returns s as a connection between two addresses.
func NewConn(s *Stream, network string, local, remote net.Addr) *Conn {
	return &Conn{s, network, local, remote}
}

func (c *Conn) SetDeadline(t time.Time) error      { return c.stream.SetDeadline(t) }
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.stream.SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.stream.SetWriteDeadline(t) }

func (c *Conn) LocalAddr() net.Addr  { return c.local }
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	return n, c.failed("read", err)
}

func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.stream.Write(p)
	return n, c.failed("write", err)
}

// CloseRead ends reading.
func (c *Conn) CloseRead() error { return c.failed("close", c.stream.CloseSide(ReadSide)) }

// CloseWrite ends writing: the other side reads the end.
func (c *Conn) CloseWrite() error { return c.failed("close", c.stream.CloseSide(WriteSide)) }

func (c *Conn) Close() error { return c.failed("close", c.stream.Close()) }

// failed returns an error as package net does.
func (c *Conn) failed(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if err = Cause(err); errors.Is(err, os.ErrClosed) {
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: c.network, Source: c.local, Addr: c.remote, Err: err}
}

// PacketConn is a Conn of datagrams. Libraries tell them from streams by
// net.PacketConn.
type PacketConn struct{ *Conn }

var _ net.PacketConn = PacketConn{}

// ReadFrom reads one datagram, which can only be of the other side.
func (p PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.Read(b)
	return n, p.RemoteAddr(), err
}

// WriteTo fails as it does for a connected net.UDPConn: use Write.
func (p PacketConn) WriteTo([]byte, net.Addr) (int, error) {
	return 0, p.failed("write", net.ErrWriteToConnected)
}

// name is an address that is not an IP address and a port.
type name struct{ network, text string }

func (n name) Network() string { return n.network }
func (n name) String() string  { return n.text }

// Address returns the address that text says.
func Address(network, text string) net.Addr {
	at, err := netip.ParseAddrPort(text)
	switch {
	case err != nil:
		return name{network, text}
	case network == "udp":
		return net.UDPAddrFromAddrPort(at)
	}
	return net.TCPAddrFromAddrPort(at)
}
