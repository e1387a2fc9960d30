package upgrade

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// maxError bounds the answer of a core that does not switch.
const maxError = 64 << 10

// Client makes one request for a stream, and asks for the upgrade instead. Its request
// ends with its first message; what follows is sent with Conn.
type Client struct {
	// Next sends requests over HTTP/1.1.
	Next connect.HTTPClient
	// Patience is how long the core may take to answer once it is reached.
	Patience time.Duration

	mu      sync.Mutex
	conn    *Conn
	refused error
}

// Conn returns the connection after a request that has succeeded; nil before.
func (c *Client) Conn() *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// Refused returns how the core did not switch, after a request that has failed: it is of
// an older version, or something on the way to it knows no upgrades. It is nil if the core
// was not reached, or has said what is wrong.
func (c *Client) Refused() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// Do returns the stream that the core sends.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	conn, err := c.ask(req)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(req.Context(), func() { _ = conn.Close() })
	if err := forward(conn, req.Body); err != nil {
		stop()
		_ = conn.Close()
		return nil, err
	}
	c.set(conn, nil)
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: http.Header{"Content-Type": {contentType}}, Body: &body{conn, stop}, Request: req,
	}, nil
}

func (c *Client) set(conn *Conn, refused error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.refused = conn, refused
}

// ask has the core switch.
func (c *Client) ask(req *http.Request) (*Conn, error) {
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	late := time.AfterFunc(math.MaxInt64, cancel) // begins when the core is reached
	defer late.Stop()
	var reached atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		reached.Store(true)
		late.Reset(c.Patience)
	}})
	ask := req.Clone(ctx)
	ask.Method, ask.Body, ask.ContentLength = http.MethodGet, http.NoBody, 0
	maps.DeleteFunc(ask.Header, func(field string, _ []string) bool { // there is no message
		return strings.HasPrefix(field, "Content-") || strings.HasPrefix(field, "Connect-") || strings.HasPrefix(field, "Accept")
	})
	ask.Header.Set("Connection", "Upgrade")
	ask.Header.Set("Upgrade", Protocol)
	res, err := c.Next.Do(ask)
	if err != nil {
		if reached.Load() && req.Context().Err() == nil {
			c.set(nil, err)
		}
		return nil, err
	}
	conn, ok := res.Body.(io.ReadWriteCloser)
	if !ok || res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != Protocol {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxError))
		_ = res.Body.Close()
		if e, ok := faultrpc.FromHTTP(text); ok {
			return nil, e // by the core itself, whichever way it is asked
		}
		err := fmt.Errorf("the answer was %s", res.Status)
		c.set(nil, err)
		return nil, err
	}
	return newConn(conn, conn), nil
}

// forward sends the first message of a request.
func forward(conn *Conn, from io.Reader) error {
	var head [prefix]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return err
	}
	message := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(from, message); err != nil {
		return err
	}
	return conn.Send(message)
}

// body is what the core sends.
type body struct {
	*Conn
	stop func() bool
}

// Read fails with UNAVAILABLE if the connection breaks.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = connect.NewError(connect.CodeUnavailable, err)
	}
	return n, err
}

func (b *body) Close() error {
	b.stop()
	return b.Conn.Close()
}
