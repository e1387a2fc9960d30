package exchange

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/httphead"
)

// upgrade returns the protocol that a request asks for, or "". A request with a
// body is served as if it did not ask, and so is one for HTTP/2, which is not a
// service's business.
func upgrade(r *http.Request) string {
	protocol := strings.Join(r.Header["Upgrade"], ", ")
	if protocol == "" || r.ProtoMajor != 1 || r.ProtoMinor == 0 || r.ContentLength != 0 ||
		!httpguts.HeaderValuesContainsToken(r.Header["Connection"], "Upgrade") || httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "h2c") {
		return ""
	}
	return protocol
}

// connection is the body of a request that asks for another protocol: what comes
// after the switch. A nil connection was never asked for.
type connection struct {
	ready  chan struct{} // closed once it is known what Read reads
	frames *frames       // of what is written; nil unless it is a WebSocket

	mu   sync.Mutex
	set  bool
	conn net.Conn
	from io.Reader
}

func newConnection(protocol string) *connection {
	c := &connection{ready: make(chan struct{})}
	if strings.EqualFold(protocol, "websocket") {
		c.frames = new(frames)
	}
	return c
}

// Read waits for the switch. If there is none, the body is empty.
func (c *connection) Read(p []byte) (int, error) {
	<-c.ready
	if c.from == nil {
		return 0, io.EOF
	}
	return c.from.Read(p)
}

// Close ends a Read in flight.
func (c *connection) Close() error {
	c.none()
	if conn := c.hijacked(); conn != nil {
		return conn.SetReadDeadline(time.Unix(1, 0))
	}
	return nil
}

// none says that there is no switch, if nothing else was said before.
func (c *connection) none() {
	if c != nil {
		c.settle(nil, nil)
	}
}

// settle says what Read reads, if that is not settled. A connection after a switch that
// comes too late is not read, but has to be closed like any other.
func (c *connection) settle(conn net.Conn, from io.Reader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn != nil {
		c.conn = conn
	}
	if !c.set {
		c.set, c.from = true, from
		close(c.ready)
	}
}

// hijacked returns the connection after the switch, or nil.
func (c *connection) hijacked() net.Conn {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// sayWhy ends a WebSocket with a frame that says why, unless it is in the middle of
// another one. Call it when nobody reads or writes any more.
func (c *connection) sayWhy(err error) {
	if c.frames == nil || !c.frames.between() {
		return
	}
	_ = c.conn.SetDeadline(time.Now().Add(drainTime))
	if _, err := c.conn.Write(closing(err)); err != nil {
		return
	}
	// What the caller has sent meanwhile would make the kernel drop the frame.
	_, _ = io.Copy(io.Discard, io.LimitReader(c.conn, maxDrain))
}

// switchProtocols takes the connection over from net/http.
func (x *exchange) switchProtocols(a httphead.Answer) error {
	if x.conn == nil {
		return fault.New(fault.GuestError, "service %s switched protocols, and the request did not ask for that", x.service)
	}
	conn, rw, err := x.rc.Hijack()
	if err != nil {
		return err
	}
	x.began = true
	a.Header["Connection"] = []string{"Upgrade"}
	if a.Upgrade != "" {
		a.Header["Upgrade"] = []string{a.Upgrade}
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = a.Header.Write(&head) // a buffer takes all
	head.WriteString("\r\n")
	_, err = conn.Write(head.Bytes())
	// The rest comes from the connection itself: rw ends the request's context, and
	// so the call, at the end of what it reads.
	sent, _ := rw.Peek(rw.Reader.Buffered())
	x.conn.settle(conn, io.MultiReader(bytes.NewReader(sent), conn))
	return err
}
