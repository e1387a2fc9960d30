// Package exchange is the way in to services of kind http: an ordinary request of
// HTTP, whose body and answer can stream, in both directions at the same time.
//
//	curl http://127.0.0.1:7833/svc/feed/events?since=5
//
// /svc/{service}/ is cut off the path, and X-Forwarded-Prefix says so. Requests
// for a declared route keep their path; see [Routes].
//
// # What travels how
//
// A body whose length is announced and at most 32 KiB is read before the call
// starts, and one of unknown length gets 200 µs to end. A longer one streams: it is
// read when the service asks for it, so "Expect: 100-continue" means what it says.
// An answer that the service hands over whole has a Content-Length, and each piece
// of one that streams is flushed. Trailers pass in both directions, and nothing is
// compressed here.
//
// The caller's Authorization stays here, and so do its cookies, unless the request came
// to a site that has no API: see "What is kept from services?" in docs/RATIONALE.md. A
// service whose decorators say so gets to see an Authorization that is not for the
// cluster.
//
// A failure before the answer began is answered in the protocol of the request:
// gRPC, gRPC-Web, Connect, or a JSON object as POST /call has it. After that, the
// answer is cut off, so that nobody takes it for complete.
//
// An exchange that streams ends when its caller may no longer call the service. It says
// why if the protocol lets an answer that has begun say so: gRPC in its trailers, a
// WebSocket in its last frame.
//
// # HTTP/1.1
//
// net/http must get a body back at its end, or with nobody reading it: a read in
// flight would take bytes of the next request. So the reads of a body that streams
// run on a goroutine of their own, which package exchange waits for. A body that
// was not read to its end costs its connection, which is closed gently: otherwise
// the caller could lose the answer.
//
// # What it costs
//
// An exchange holds at most two pieces of 32 KiB here, and [Config.MaxOpen] bounds
// how many there are. Answers that callers do not read, and bodies of announced
// length, have the bounds of package port. Only a body of unknown length can pause,
// for as long as the service's limit of idleness allows, and an answer as long as
// the service writes nothing.
package exchange

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/core/gateway/fields"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/httphead"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// farewell is how long a stream can go on when the core goes down.
const farewell = 5 * time.Second

// Invoker is what exchanges need from package invoke.
type Invoker interface {
	Begin(ctx context.Context, service string) (invoke.Call, error)
}

// Config configures the way in. Fields without a default are required.
type Config struct {
	Invoker Invoker
	// Routes are those that services declare. Nil: none.
	Routes Routes
	// Passes reports whether everybody may call a service, and the field Authorization of
	// its requests is passed on to it. Nil: of none it is.
	Passes func(service string) bool
	// Apps is a port that serves nothing but services, so that its origin is not that
	// of the API. Nil: there is none.
	Apps *port.Server
	// Fresh wraps handlers; see package freshness.
	Fresh func(http.Handler) http.Handler
	// MaxOpen bounds the exchanges that are open at the same time, on both ports. One
	// service can have three quarters of them. Default: [DefaultMaxOpen].
	MaxOpen int
	// Follow has end called when the caller of a context may no longer call a service, until
	// leave is called. It is asked for exchanges that stream alone. Nil: nobody is told.
	Follow func(ctx context.Context, service string, end func(why error)) (leave func())
	// Down ends when the core goes down: answers that stream are then cut off after
	// a while. Nil: never.
	Down   context.Context
	Logger *slog.Logger
}

// DefaultMaxOpen is the default of Config.MaxOpen.
const DefaultMaxOpen = 2048

// front serves all requests of a port.
type front struct {
	cfg  Config
	apps bool // the port serves nothing but services
	open *open
}

// Mount mounts /svc/ and the declared routes on the API's port, and on that for web
// applications.
func Mount(p *port.Server, cfg Config) {
	if cfg.Down == nil {
		cfg.Down = context.Background()
	}
	if cfg.Follow == nil {
		cfg.Follow = func(context.Context, string, func(error)) func() { return func() {} }
	}
	o := &open{limit: cmp.Or(cfg.MaxOpen, DefaultMaxOpen), byService: make(map[string]int)}
	(&front{cfg: cfg, open: o}).mount(p)
	if cfg.Apps != nil {
		(&front{cfg: cfg, apps: true, open: o}).mount(cfg.Apps)
	}
}

func (f *front) mount(p *port.Server) {
	// A body streams for as long as the service wants; it is bounded by its rate.
	b := port.Bounds{Duplex: true, Total: 24 * time.Hour}
	calls := access.Needs(access.Call, access.Service)
	b.Foreign = f.passes(func(r *http.Request) string { return named(r.URL).service })
	p.HandleRaw(prefix, "svc", calls, b, f.cfg.Fresh(http.HandlerFunc(f.byName)))
	if f.cfg.Routes != nil {
		b.Foreign = f.passes(f.routed)
		p.HandleHosts("svc", calls, b, f.hasHost, f.cfg.Fresh(http.HandlerFunc(f.onOwnHost)))
		p.HandleRest("svc", calls, b, f.isDeclared, f.cfg.Fresh(http.HandlerFunc(f.onThisHost)))
	}
}

// passes returns what reports whether the field Authorization of a request is for its
// service.
func (f *front) passes(service func(*http.Request) string) func(*http.Request) bool {
	if f.cfg.Passes == nil {
		return nil
	}
	return func(r *http.Request) bool {
		shown := r.Header["Authorization"]
		if len(shown) != 1 || token.WithinAuthorization(shown[0]) {
			return false
		}
		name, _, _ := strings.Cut(service(r), "@")
		return f.cfg.Passes(name)
	}
}

// exchange is one request and its answer.
type exchange struct {
	front *front
	target
	w    http.ResponseWriter
	r    *http.Request
	rc   *http.ResponseController
	id   string
	body *body
	conn *connection // nil unless the request asks for another protocol

	mu       sync.Mutex // held while the answer is written
	over     bool       // the call is
	began    bool       // the answer has begun
	bodyless bool       // the answer has no body, whatever the service writes
	err      error      // why the answer did not begin, or broke off

	streams bool // the answer does
	ended   bool // the caller may not have the rest
}

func (f *front) serve(w http.ResponseWriter, r *http.Request, t target) {
	x := &exchange{front: f, target: t, w: w, r: r, rc: http.NewResponseController(w), id: invoke.NewID()}
	x.body = newBody(r, x.rc)
	defer x.body.stop()
	res, err := x.execute()
	x.finish(res, err)
}

// execute calls the service. The answer may have streamed when it returns.
func (x *exchange) execute() (*invoke.Answer, error) {
	call, err := x.front.cfg.Invoker.Begin(x.r.Context(), x.service)
	if errors.Is(err, fault.ServiceNotFound) && x.absent != nil {
		return nil, errAbsent
	}
	if err == nil {
		err = call.IsHTTP()
	}
	if err != nil {
		return nil, err
	}
	if x.path == "" {
		return nil, errNoSlash
	}
	if token.Within(x.path) {
		return nil, errToken()
	}
	ctx, cancel, err := fields.WithDeadline(x.r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := x.front.open.enter(x.service); err != nil {
		return nil, err
	}
	defer x.front.open.leave(x.service)
	if n, limit := x.r.ContentLength, int64(call.InputLimit()); n > limit {
		return nil, call.TooLarge(strconv.FormatInt(n, 10) + " bytes")
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	streams := &executor.Exchange{Inform: x.inform}
	streams.Respond = func(head []byte, body io.Reader) {
		defer context.AfterFunc(x.front.cfg.Down, func() { sayGoodbye(ctx, stop) })()
		hurried := make(chan struct{})
		hurry := context.AfterFunc(ctx, func() { defer close(hurried); x.hurry(ctx) })
		defer func() {
			if !hurry() {
				<-hurried // or it could outlive the exchange, and meet the next request of the connection
			}
		}()
		if streams.Body == nil { // otherwise it is followed already
			defer x.front.cfg.Follow(ctx, x.service, stop)()
		}
		x.respond(head, body)
	}
	req := invoke.Request{ID: x.id, Exchange: streams, Logs: fields.WantsLogs(x.r)}
	asked, protocol := x.r, upgrade(x.r)
	if x.r.Trailer != nil { // net/http adds the values while the body is read
		asked = x.r.WithContext(ctx)
		asked.Trailer = maps.Clone(x.r.Trailer)
	}
	if protocol != "" {
		x.conn = newConnection(protocol)
		defer x.conn.none()
		streams.Body = x.conn
	} else if req.Body, err = x.read(streams); err != nil {
		return nil, err
	}
	if streams.Body != nil {
		defer x.front.cfg.Follow(ctx, x.service, stop)()
	}
	timeout := call.Timeout()
	if at, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(at))
	}
	req.Head = httphead.Request(asked, httphead.Origin{
		Path: x.path, Prefix: x.prefix, Timeout: timeout, Upgrade: protocol, From: x.from(),
		Cookies: x.own || x.front.apps, Authorization: call.PassesAuthorization(),
	})
	res, err := call.Exchange(ctx, req)
	x.mu.Lock() // the last of an answer may still be on its way
	x.over = true
	x.mu.Unlock()
	if why, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok && err != nil {
		x.ended, err = true, why
	}
	return res, err
}

// hurry bounds how long a caller can go on reading, or not reading, what it may not have
// any more.
func (x *exchange) hurry(ctx context.Context) {
	if _, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
		_ = x.rc.SetWriteDeadline(time.Now().Add(drainTime))
	}
}

// from returns the address that the request came from, as far as proxies are believed.
func (x *exchange) from() string {
	if r := access.Of(x.r.Context()); r != nil {
		return r.From
	}
	return ""
}

// errToken returns the error for a path with a token: it is not passed on to the
// service, and its caller should know that others may have seen it.
func errToken() error {
	e := fault.New(fault.RequestInvalid, "the path or the query holds what looks like a token").
		WithFix("send it as Authorization: Bearer TOKEN, and replace it: addresses are logged on their way")
	e.NotStarted = true
	return e
}

// sayGoodbye ends the call of an answer that streams, after a while.
func sayGoodbye(ctx context.Context, end context.CancelCauseFunc) {
	t := time.NewTimer(farewell)
	defer t.Stop()
	select {
	case <-t.C:
		end(nil)
	case <-ctx.Done():
	}
}

// read reads the beginning of the body, and hands over the rest.
func (x *exchange) read(streams *executor.Exchange) (first []byte, err error) {
	first, whole, err := x.body.begin()
	if err != nil || whole {
		return first, err
	}
	streams.Body, streams.Trailers = x.body, func() []byte { return httphead.Trailers(x.r.Trailer) }
	if x.r.ProtoMajor == 1 {
		_ = x.rc.EnableFullDuplex() // a server that cannot do that reads the body first
	}
	return first, nil
}

// finish answers, or ends the answer.
func (x *exchange) finish(res *invoke.Answer, err error) {
	if errors.Is(err, errNoSlash) {
		port.Count(x.r.Context(), "")
		addSlash(x.w, x.r)
		return
	}
	if errors.Is(err, errAbsent) {
		x.absent(x.w, x.r)
		return
	}
	switch {
	case err == nil && x.err == nil && !x.began:
		err = x.whole(res)
	case err == nil && !x.began:
		err = x.err // the answer is none
	case err == nil && x.err == nil && !res.Streamed:
		err = errors.New("the runner handed an answer over twice")
	}
	if errors.Is(err, fault.Canceled) {
		// net/http takes a body that the port ends for a caller who has gone.
		err = cmp.Or(x.body.failure(), err)
	}
	x.log(err)
	hijacked := x.conn.hijacked()
	switch {
	case err != nil && !x.began:
		x.fail(err)
	case hijacked != nil:
		port.Count(x.r.Context(), reasonOf(err))
		if x.ended {
			x.conn.sayWhy(err)
		}
		_ = hijacked.Close()
	case err != nil || x.err != nil:
		if err != nil {
			port.Count(x.r.Context(), fault.ReasonOf(err))
		}
		if x.ended && x.setStatus(err) {
			return
		}
		panic(http.ErrAbortHandler)
	default:
		port.Count(x.r.Context(), res.Outcome())
		x.setTrailers(res)
	}
}

// log logs why a call failed whose caller does not see it.
func (x *exchange) log(err error) {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return
	}
	attrs := []any{"service", x.service, "call_id", x.id, "reason", e.Reason, "error", e, "cause", e.Err}
	switch {
	case e.Reason == fault.StreamBroken:
		x.front.cfg.Logger.Warn("a stream between core and runner broke off", attrs...)
	case e.Reason == fault.Internal && x.began: // otherwise the answer names the line of the log
		x.front.cfg.Logger.Error("a call failed after its answer began", attrs...)
	}
}

func reasonOf(err error) fault.Reason {
	if err == nil {
		return ""
	}
	return fault.ReasonOf(err)
}

// respond is the Respond of the exchange.
func (x *exchange) respond(head []byte, body io.Reader) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over && !x.began {
		x.streams = true
		x.err = x.stream(head, body)
	}
}
