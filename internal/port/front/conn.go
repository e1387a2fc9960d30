package front

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// firstSize is how much of a request is read before memory is borrowed for it.
	firstSize = 1 << 10
	// lingering is how long the rest of a body that nobody wants can take to arrive, and
	// how long a peer has to read the last answer of a connection.
	lingering = 500 * time.Millisecond
	// maxLinger bounds what is read meanwhile.
	maxLinger = 256 << 10
)

// conn is a connection that is served here.
type conn struct {
	net.Conn
	f      *Front
	ctx    context.Context
	cancel context.CancelFunc
	// blank is what all requests of the connection have in common.
	blank *http.Request

	*work  // nil while nothing has arrived
	first  [firstSize]byte
	buf    []byte    // what has been read and not used, in the room of work
	readBy time.Time // the deadline of the last wait
	served bool      // a request was
	// since is when the request in flight began, in nanoseconds since 1970; 0 without
	// one.
	since atomic.Int64
	// moved says that a handler or the port's watch has set a deadline.
	moved atomic.Bool
	watched
}

func newConn(f *Front, nc net.Conn) *conn {
	c := &conn{Conn: nc, f: f}
	ctx, cancel := context.WithCancel(f.down)
	c.ctx, c.cancel = f.cfg.Context(ctx, nc), cancel
	blank := http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: nc.RemoteAddr().String()}
	c.blank = blank.WithContext(c.ctx)
	c.gone = peer(nc)
	return c
}

// serve serves requests until the connection ends, or one arrives that is not plain:
// then it reports true, and returns what has been read of that.
func (c *conn) serve() (rest []byte, other bool) {
	for {
		if len(c.buf) == 0 && !c.wait() {
			return nil, false
		}
		r := c.next()
		if r == nil {
			rest = slices.Clone(c.buf)
			c.release()
			return rest, c.Conn.SetDeadline(time.Time{}) == nil
		}
		more := c.handle(r)
		if more && len(c.buf) > 0 {
			c.reset()
			continue
		}
		c.release()
		if !more {
			return nil, false
		}
	}
}

// wait waits for the first bytes of the next request. It reports false if the
// connection has ended.
func (c *conn) wait() bool {
	patience := c.f.cfg.Idle
	if !c.served {
		patience = c.f.cfg.First
	}
	c.settle()
	// To set a deadline costs as much as to parse a head, so it may be a bit early.
	if now := time.Now(); c.readBy.Sub(now) < patience-patience/4 || c.readBy.Sub(now) > patience {
		c.readBy = now.Add(patience)
		if c.Conn.SetReadDeadline(c.readBy) != nil {
			return false
		}
	}
	if c.f.leaving.Load() { // the deadline that should have said so was just replaced
		return false
	}
	n, _ := c.Conn.Read(c.first[:])
	if n == 0 {
		return false
	}
	c.borrow()
	n = copy(c.room[:], c.first[:n])
	if n == firstSize && !bytes.Contains(c.first[:], []byte(endOfHead)) {
		c.moved.Store(true)
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.f.cfg.First))
		m, _ := c.Conn.Read(c.room[n:]) // the head is not whole without it, or not plain
		n += m
	}
	c.buf = c.room[:n]
	return true
}

// settle removes the deadlines that the last request has left.
func (c *conn) settle() {
	if c.moved.Swap(false) {
		c.readBy = time.Time{}
		_ = c.Conn.SetDeadline(time.Time{})
	}
}

// interrupt ends the connection if it waits for a request.
func (c *conn) interrupt() {
	if c.since.Load() == 0 {
		_ = c.Conn.SetReadDeadline(past)
	}
}

var past = time.Unix(1, 0)

// next returns the next request if it is plain, and if it can be seen when its caller
// leaves.
func (c *conn) next() *http.Request {
	if c.gone == nil || !c.head.parse(c.buf, c.f.routes) {
		return nil
	}
	h, r := &c.head, &c.request
	c.buf = c.buf[h.size:]
	c.body = body{c: c, left: h.length}
	*r = *c.blank
	c.url = url.URL{Path: h.path}
	r.URL, r.RequestURI, r.Host, r.Header = &c.url, h.path, h.host, h.fields
	r.ContentLength, r.Body = int64(h.length), http.NoBody
	if h.length > 0 {
		r.Body = &c.body
	}
	return r
}

// handle has a request answered. It reports whether another one can follow.
func (c *conn) handle(r *http.Request) (more bool) {
	c.served = true
	c.f.cfg.State(c.Conn, http.StateActive)
	c.since.Store(time.Now().UnixNano())
	defer c.since.Store(0)
	c.settle()
	returned := c.call(r)
	whole := returned && c.out.finish()
	if !whole || c.out.last || c.f.leaving.Load() {
		if returned && !c.out.broken && c.body.left > 0 {
			c.linger()
		}
		return false
	}
	if !c.body.discard() {
		return false
	}
	if len(c.buf) == 0 {
		c.f.cfg.State(c.Conn, http.StateIdle)
	}
	return true
}

// call calls the handler. It reports false if that panics, so that nobody takes the
// answer for whole.
func (c *conn) call(r *http.Request) (ok bool) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			if c.f.cfg.Panicked == nil {
				panic(p)
			}
			c.f.cfg.Panicked(r, p)
		}
	}()
	c.head.handler.ServeHTTP(&c.out, r)
	return true
}

// linger reads for a moment what the peer still sends. Otherwise that would make the
// kernel drop the answer when the connection is closed.
func (c *conn) linger() {
	if closeWrite(c.Conn) != nil {
		return
	}
	_ = c.Conn.SetReadDeadline(time.Now().Add(lingering))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, maxLinger))
}

// body is the body of a request.
type body struct {
	c      *conn
	left   int
	closed bool
	err    error
}

// Read reads what has arrived with the head, and then what arrives.
func (b *body) Read(p []byte) (n int, err error) {
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case b.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	return b.read(p)
}

func (b *body) read(p []byte) (n int, err error) {
	c := b.c
	p = p[:min(len(p), b.left)]
	if len(c.buf) > 0 {
		n = copy(p, c.buf)
		c.buf = c.buf[n:]
	} else {
		if !c.moved.Swap(true) { // a body is not bound by the patience with heads
			err = c.Conn.SetReadDeadline(time.Time{})
		}
		if err == nil {
			n, err = c.Conn.Read(p)
		}
	}
	switch b.left -= n; {
	case b.left == 0:
		err = io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	b.err = err
	return n, err
}

// Close keeps the handler from reading on.
func (b *body) Close() error {
	b.closed = true
	return nil
}

// discard reads what the handler has not read. It reports false if that does not arrive
// soon.
func (b *body) discard() bool {
	if n := min(b.left, len(b.c.buf)); n > 0 {
		b.c.buf = b.c.buf[n:]
		b.left -= n
	}
	if b.left == 0 {
		return true
	}
	b.c.moved.Store(true)
	_ = b.c.Conn.SetReadDeadline(time.Now().Add(lingering))
	n, _ := io.CopyN(io.Discard, b.c.Conn, int64(b.left))
	return n == int64(b.left)
}
