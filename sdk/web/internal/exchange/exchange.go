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

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

// exchange is one request and its answer.
type exchange struct {
	host host.Host
	req  *http.Request
	ctx  *callContext
	body *body
	w    *writer

	mu     sync.Mutex
	stream *host.Stream // the exchange's own, once it is needed
	ended  bool

	// work counts goroutines of this package, which end with the exchange.
	work sync.WaitGroup
}

// Answer serves one exchange. Its result is that of the export ruedo_call.
func Answer(h host.Host, handler http.Handler) int32 {
	x, err := newExchange(h)
	if err != nil {
		h.Fail(uint32(sdk.InvalidArgument), err.Error())
		return 1
	}
	defer x.end()
	if err := x.serve(handler); err != nil {
		h.Fail(uint32(sdk.Internal), err.Error())
		return 1
	}
	return 0
}

// newExchange reads what the host has of the request.
func newExchange(h host.Host) (*exchange, error) {
	raw, err := host.ReadAll(h.HeadRead, 1024)
	if err != nil {
		return nil, fmt.Errorf("the head of the request cannot be read: %w", err)
	}
	x := &exchange{host: h}
	x.ctx = &callContext{x: x}
	r := &http.Request{Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	var scheme string
	r.Header, err = host.ParseFields(string(raw), func(key, value string) {
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
		return nil, fmt.Errorf("the request cannot be read: %w", err)
	}
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		return nil, fmt.Errorf("the path of the request is not valid: %w", err)
	}
	if scheme == "https" {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	x.req = r.WithContext(x.ctx)
	if x.body, err = newBody(x); err != nil {
		return nil, err
	}
	x.w = &writer{x: x, header: make(http.Header), declared: -1}
	return x, nil
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
	handler.ServeHTTP(x.w, x.req)
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
