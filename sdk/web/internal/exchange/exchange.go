// Package exchange serves one request with an http.Handler: the request, the
// http.ResponseWriter, and the connection of a request that is hijacked. It
// behaves as the server of net/http, which its tests compare it with.
package exchange

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

// Server serves the exchanges of a host, one after the other.
type Server struct {
	host    host.Host
	handler http.Handler
	// next is what the next exchange begins with; nil if that is to be made. It is made
	// while the module is warmed up, so it is in the memory that calls begin with.
	next *exchange
}

// New returns a server of a handler.
func New(h host.Host, handler http.Handler) *Server {
	return &Server{host: h, handler: handler, next: newExchange(h)}
}

// Answer serves one exchange. Its result is that of the export ruedo_call.
func (s *Server) Answer() int32 {
	x := s.next
	if s.next = nil; x == nil {
		x = newExchange(s.host)
	}
	if err := x.read(); err != nil {
		x.host.Fail(uint32(sdk.InvalidArgument), err.Error())
		return 1
	}
	if x.ctx.id == "" { // an example
		defer func() { s.next = newExchange(s.host) }()
	}
	defer x.end()
	if err := x.serve(s.handler); err != nil {
		x.host.Fail(uint32(sdk.Internal), err.Error())
		return 1
	}
	return 0
}

// exchange is one request and its answer. It is used once, as a handler can keep
// parts of it.
type exchange struct {
	host host.Host
	req  *http.Request
	ctx  callContext
	body body
	w    writer

	mu     sync.Mutex
	stream *host.Stream // the exchange's own, once it is needed
	ended  bool

	// work counts goroutines of this package, which end with the exchange.
	work sync.WaitGroup

	room room
}

// room is where the parts of most exchanges fit in. It is one piece of memory, so that a
// call writes to few pages, which have to be restored after it.
type room struct {
	head   [1 << 10]byte // of the request
	values [16]string    // of its header
	answer [256]byte     // the head of the answer
	body   [512]byte     // and what is kept of its body
}

// newExchange returns an exchange whose request has not been read.
func newExchange(h host.Host) *exchange {
	x := &exchange{host: h}
	x.ctx.x, x.body.x = x, x
	x.w = writer{x: x, header: newHeader(), declared: -1, head: x.room.answer[:0], buf: x.room.body[:0]}
	x.req = new(http.Request).WithContext(&x.ctx)
	x.req.Header = newHeader()
	return x
}

// newHeader returns a header that has room for some fields: a map makes it with the
// first one.
func newHeader() http.Header {
	h := http.Header{"": nil}
	clear(h)
	return h
}

// read reads what the host has of the request.
func (x *exchange) read() error {
	raw, err := host.ReadAll(x.host.HeadRead, x.room.head[:0])
	if err != nil {
		return fmt.Errorf("the head of the request cannot be read: %w", err)
	}
	r := x.req
	r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor = http.MethodGet, "HTTP/1.1", 1, 1
	var scheme string
	// Nothing writes to the bytes again, so they need not be copied.
	head := unsafe.String(unsafe.SliceData(raw), len(raw))
	err = host.AddFields(r.Header, x.room.values[:0], head, func(key, value string) {
		switch key {
		case abi.HeadMethod:
			r.Method = value
		case abi.HeadPath:
			r.RequestURI = value
		case abi.HeadAuthority:
			r.Host = value
		case abi.HeadScheme:
			scheme = value
		case abi.HeadProto:
			if major, minor, ok := http.ParseHTTPVersion(value); ok {
				r.Proto, r.ProtoMajor, r.ProtoMinor = value, major, minor
			}
		case abi.HeadRemote:
			r.RemoteAddr = value
		case abi.HeadCallID:
			x.ctx.id = value
		case abi.HeadCaller:
			x.ctx.caller = value
		case abi.HeadTimeout:
			if ns, err := strconv.ParseInt(value, 10, 64); err == nil && ns > 0 {
				x.ctx.deadline = time.Now().Add(time.Duration(ns))
			}
		}
	})
	if err != nil {
		return fmt.Errorf("the request cannot be read: %w", err)
	}
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		return fmt.Errorf("the path of the request is not valid: %w", err)
	}
	if scheme == "https" {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	return x.body.begin()
}

// serve runs the handler and finishes the answer.
func (x *exchange) serve(handler http.Handler) error {
	if err := x.run(handler); err != nil {
		return err
	}
	return x.w.finish()
}

// errAborted is the error for http.ErrAbortHandler. If the answer has begun, the
// host cuts it off, otherwise the caller gets this text.
var errAborted = errors.New("the service aborted the answer")

// run runs the handler and turns its panic into an error.
func (x *exchange) run(handler http.Handler) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = errAborted
		default:
			logPanic(p, debug.Stack())
			err = fmt.Errorf("the service panicked: %v", p)
		}
	}()
	handler.ServeHTTP(&x.w, x.req)
	return nil
}

// logPanic writes a panic line by line, because one log entry is one line.
func logPanic(p any, stack []byte) {
	slog.Error(fmt.Sprintf("panic: %v", p))
	// Only the handler's own frames: above them is the recovery, below them are
	// this package and the host's entry.
	own := string(stack)
	if _, after, ok := strings.Cut(own, "\npanic("); ok {
		own = "panic(" + after
	}
	own, _, _ = strings.Cut(own, "\ngithub.com/ruedo-dev/ruedo/sdk/web/internal/exchange.(*exchange).run(")
	for line := range strings.Lines(own) {
		slog.Error(strings.TrimRight(line, "\n"))
	}
}

// open returns the exchange's own stream: reading is the request's body,
// writing the answer's.
func (x *exchange) open() (*host.Stream, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return nil, errEnded
	}
	if x.stream != nil {
		return x.stream, nil
	}
	s, err := host.NewStream(x.host, x.host.BodyOpen(), "exchange")
	if err != nil {
		return nil, fmt.Errorf("the stream of the exchange cannot be opened: %w", err)
	}
	x.stream = s
	return s, nil
}

var errEnded = errors.New("web: the exchange has ended")

// end releases what belongs to the exchange. The stream is closed even though
// the host ends it as well: in memory that is shared between calls, Go's poller
// would take the next call's stream for this one, because it knows numbers only.
func (x *exchange) end() {
	x.w.over.Store(true)
	x.mu.Lock()
	x.ended = true
	s := x.stream
	x.mu.Unlock()
	x.ctx.end(context.Canceled)
	if s != nil {
		_ = s.Close()
	}
	x.work.Wait()
}

// gone ends the context if err says that the caller is gone.
func (x *exchange) gone(err error) error {
	err = host.Cause(err)
	if err == syscall.EPIPE || err == syscall.ECONNRESET {
		x.ctx.end(context.Canceled)
	}
	return err
}
