package port

import (
	"bufio"
	"net"
	"net/http"

	"github.com/ruedo-dev/ruedo/internal/port/conns"
)

// Hijack returns the connection of an HTTP/1 request. What is written to it is
// watched as an answer is. The handler closes it before it returns.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	x.header, x.status, x.ended = true, http.StatusSwitchingProtocols, true
	return &hijacked{c, x}, rw, nil
}

// hijacked is a connection without HTTP.
type hijacked struct {
	net.Conn
	x *exchange
}

// Write writes p in pieces, so that the watch sees progress.
func (c *hijacked) Write(p []byte) (written int, err error) {
	c.x.phase.Or(writing)
	defer c.x.phase.And(^writing)
	for written < len(p) && err == nil {
		var n int
		n, err = c.Conn.Write(p[written:min(len(p), written+piece)])
		written += n
		c.x.moved.Add(int64(n))
	}
	return written, err
}

// CloseWrite ends what is written, so that the peer sees that before the connection is
// closed.
func (c *hijacked) CloseWrite() error { return conns.CloseWrite(c.Conn) }

var _ http.Hijacker = (*exchange)(nil)
