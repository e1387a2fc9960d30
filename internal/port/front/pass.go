package front

import "net"

// pass gives a connection to net/http, with what has been read of it. It reports false
// if nobody takes it.
func (f *Front) pass(c net.Conn, rest []byte) bool {
	if len(rest) > 0 {
		c = &resumed{c, rest}
	}
	select {
	case f.passed <- c:
		return true
	case <-f.closed:
		return false
	}
}

// Accept returns the next connection with a request that is not plain. After Close it
// fails with [net.ErrClosed].
func (f *Front) Accept() (net.Conn, error) {
	select {
	case c := <-f.passed:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. Connections are served on.
func (f *Front) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// Addr returns no address: connections come from several listeners.
func (f *Front) Addr() net.Addr { return nowhere{} }

type nowhere struct{}

func (nowhere) Network() string { return "front" }
func (nowhere) String() string  { return "" }

// resumed is a connection of which something has been read.
type resumed struct {
	net.Conn
	rest []byte
}

// Read reads that first.
func (r *resumed) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; len(r.rest) == 0 {
		r.rest = nil
	}
	return n, nil
}

// NetConn returns the connection itself.
func (r *resumed) NetConn() net.Conn { return r.Conn }

// CloseWrite ends what is written, which net/http asks for by name.
func (r *resumed) CloseWrite() error { return closeWrite(r.Conn) }

// closeWrite calls the method of that name of a connection that has one.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
