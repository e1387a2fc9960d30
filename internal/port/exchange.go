package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/middleware"
	"github.com/ruedo-dev/ruedo/internal/port/budget"
	"github.com/ruedo-dev/ruedo/internal/port/conns"
	"github.com/ruedo-dev/ruedo/internal/port/flight"
	"github.com/ruedo-dev/ruedo/internal/port/head"
)

// phase is what a handler is doing, from the point of view of its peer.
type phase = uint32

const (
	working phase = 0
	reading phase = 1 // it waits for more of the body
	writing phase = 2 // it waits for the peer to take more of the answer
	both          = reading | writing
)

const (
	// piece is how much of an answer is written at a time, so that the watch
	// sees progress.
	piece = 64 << 10
	// maxInflation is the highest ratio at which gzip inflates.
	maxInflation = 1032
	// lingering is how long the unread rest of a body is read, so that the
	// connection can be reused.
	lingering = time.Second
)

// exchange is one request in flight with its answer. To the handler it is the
// request's context, its body and the writer of its answer: one allocation
// instead of three.
type exchange struct {
	context.Context // the request's
	w               http.ResponseWriter
	body            io.ReadCloser
	s               *Server
	route           *route
	conn            *conns.Conn // nil if another server accepted it
	place           flight.Place[*exchange]
	http1           bool
	gzip            bool  // the body is compressed
	announced       int64 // length of the body that the peer announced; -1 if none
	request         access.Request

	phase atomic.Uint32
	moved atomic.Int64 // bytes read and written
	late  atomic.Bool  // the watch has ended it
	// interrupted says that a read of the connection was interrupted.
	interrupted atomic.Bool

	// Used only by the handler.
	in, out   budget.Account
	read      int64 // bytes of the body
	wrote     int64 // bytes of the answer
	ended     bool  // the body has been read to its end
	header    bool  // the answer has begun
	status    int
	counted   bool
	bodyError error
	refused   fault.Reason // why the body was not read, if it was not

	watched // the watch's own
}

type exchangeKey struct{}

// Value returns the exchange itself for its own key, and who the request is of.
func (x *exchange) Value(key any) any {
	switch key.(type) {
	case exchangeKey:
		return x
	case access.ContextKey:
		if x.request.Principal != nil {
			return &x.request
		}
	}
	return x.Context.Value(key)
}

// Count counts the outcome of a request: the reason of its failure, or "" for
// success. Call it before answering, so that a caller with an answer finds it
// counted. Only the first call for a request counts.
func Count(ctx context.Context, outcome fault.Reason) {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		x.count(outcome)
	}
}

func (x *exchange) count(outcome fault.Reason) {
	if !x.counted {
		x.counted = true
		x.route.count(outcome)
	}
}

// NotFound answers a request for a path that nobody serves, and counts it. A client of an
// RPC gets what net/http says, from which it knows that there is no such procedure.
func NotFound(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost || r.URL.Query().Get("connect") == "v1" {
		http.NotFound(w, r)
		return
	}
	Count(r.Context(), fault.NotFound)
	faultrpc.WriteJSON(w, http.StatusNotFound, fault.New(fault.NotFound, "there is nothing at %s", fault.Cut(r.URL.Path, 256)).WithFix("call a service with POST /call/NAME; one of kind http answers at /svc/NAME/ and its routes"))
}

// handle runs a handler within the bounds of its route.
func (x *exchange) handle(h http.Handler, r *http.Request) {
	if x.route.Stream {
		defer x.end(r)
		if x.admit(r) {
			h.ServeHTTP(x, r.WithContext(x))
		}
		return
	}
	if !x.s.inflight.Add(&x.place, x, x.s.cfg.Requests) {
		x.fail(r, busy("%d requests are in flight, the limit of this core", x.s.cfg.Requests))
		return
	}
	defer x.end(r)
	x.ended = r.Body == nil || r.Body == http.NoBody
	if !x.admit(r) {
		return
	}
	// An announced body is charged before it arrives, so that only a few of
	// many large bodies are read at a time. The others wait here, before they
	// take one of connect's buffers. Connect pools some large ones; a request
	// that gets none of those must grow a new one.
	if x.route.connect && !x.hold() {
		x.refused = fault.ServerBusy
		x.fail(r, x.s.bodiesFull())
		x.linger()
		return
	}
	// Copy the request, because the server must recognize its own body. Only
	// then does it linger on a connection whose body was not read to its end,
	// so that the answer arrives.
	own := r.WithContext(x)
	if !x.ended {
		own.Body = x
	}
	h.ServeHTTP(x, own)
}

// admit finds out who the request is of. It reports whether the handler may have it,
// and answers it otherwise.
func (x *exchange) admit(r *http.Request) bool {
	err := head.Check(r)
	if err == nil {
		err = x.identify(r)
	}
	if err == nil && x.route.connect && x.route.one() {
		err = head.Fits(r, x.route.Message)
	}
	if err == nil {
		return true
	}
	x.refused = err.Reason
	x.fail(r, err)
	return false
}

// end releases what the exchange holds. It recovers a handler's panic, so that
// only that request fails.
func (x *exchange) end(r *http.Request) {
	p := recover()
	if p != nil && p != http.ErrAbortHandler {
		x.s.panicked(r, p)
		if !x.header {
			x.fail(r, fault.New(fault.Internal, "internal error"))
			p = nil
		}
	}
	if !x.route.Stream {
		x.s.inflight.Remove(&x.place)
	}
	if x.interrupted.Load() {
		x.linger()
	}
	x.s.garbage.Spent(x.read + x.wrote)
	x.in.Release(x.in.Held())
	x.out.Release(x.out.Held())
	if x.conn != nil && x.Err() != nil {
		x.conn.Reset()
	}
	if x.http1 && !x.ended {
		// net/http reads the rest of a body without a deadline of its own.
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(lingering))
	}
	if !x.counted {
		x.count(x.outcome(r))
	}
	if p != nil {
		panic(http.ErrAbortHandler) // the answer must not look complete
	}
}

// outcome returns the outcome of a request that its handler did not count.
func (x *exchange) outcome(r *http.Request) fault.Reason {
	switch {
	case x.refused != "":
		return x.refused
	case x.late.Load():
		return fault.RequestTooSlow
	case r.Context().Err() != nil:
		return fault.Canceled
	case x.route.connect && x.read > int64(x.route.Message):
		return fault.InputTooLarge
	case x.route.connect:
		return middleware.Refusal(r) // the interceptors have not seen it
	case x.status < http.StatusBadRequest:
		return ""
	case x.status >= http.StatusInternalServerError:
		return fault.Internal
	}
	return fault.Unimplemented
}

// fail answers with an error.
func (x *exchange) fail(r *http.Request, err *fault.Error) {
	x.count(err.Reason)
	faultrpc.WriteError(x, r, err, x.route.connect)
}

// Read reads from the body, which is bounded in size, charged to the budgets
// and watched.
func (x *exchange) Read(p []byte) (int, error) {
	if x.bodyError != nil {
		return 0, x.bodyError
	}
	if x.read == 0 && !x.hold() {
		return 0, x.refuse(x.s.bodiesFull())
	}
	limit := x.route.Body
	if limit > 0 && int64(len(p)) > limit-x.read+1 {
		p = p[:limit-x.read+1]
	}
	waits := reading
	if x.route.Duplex && x.announced < 0 {
		waits = working // its peer may pause
	}
	x.phase.Or(waits)
	n, err := x.body.Read(p)
	x.phase.And(^waits)
	x.read += int64(n)
	x.moved.Add(int64(n))
	switch {
	case limit > 0 && x.read > limit:
		x.bodyError = &http.MaxBytesError{Limit: limit}
		x.linger()
		return 0, x.bodyError
	case errors.Is(err, io.EOF):
		x.ended = true
	case err != nil && x.late.Load():
		return n, x.refuse(x.tooSlow(err))
	}
	if !x.hold() {
		return 0, x.refuse(x.s.bodiesFull())
	}
	return n, err
}

// refuse ends the body with an error that Connect passes on as it is.
func (x *exchange) refuse(err *fault.Error) error {
	x.refused, x.bodyError = err.Reason, faultrpc.ToConnect(err)
	if !x.route.Duplex { // whose answer another goroutine may be writing
		x.linger()
	}
	return x.bodyError
}

// linger makes net/http close the connection gently after the answer, as it
// does for bodies over their limit. Otherwise the data that the peer still
// sends would make the kernel drop the answer.
func (x *exchange) linger() {
	if plain, ok := x.w.(interface{ Last() }); ok {
		plain.Last()
	} else if x.http1 {
		_, _ = http.MaxBytesReader(x.w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
	}
}

// CloseAfter makes the server close the connection of an HTTP/1 request gently after
// the answer: its body was not read to its end. Call it before the answer begins.
func CloseAfter(ctx context.Context) {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		x.linger()
	}
}

// Close stops reading the body. The server reads the rest after the handler has
// returned, because nothing would bound that here.
func (x *exchange) Close() error {
	if x.bodyError == nil {
		x.bodyError = http.ErrBodyReadAfterClose
	}
	return nil
}

func (x *exchange) tooSlow(err error) *fault.Error {
	return fault.Wrap(err, fault.RequestTooSlow, "the body of the request is too slow: %d bytes arrived; it may pause for %s and must arrive at %d bytes/s or more",
		x.read, x.s.cfg.Idle, x.s.cfg.Rate).WithFix("send it again over a faster connection")
}

// hold charges the memory that the body can take, as far as it is announced or
// has been read.
func (x *exchange) hold() bool {
	read := max(x.read, x.announced)
	if x.gzip {
		read = min(read*maxInflation, max(int64(x.route.Message), read))
	}
	want := read * int64(x.route.Weight)
	if want <= smallBody {
		return true
	}
	more := want - x.in.Held()
	return more <= 0 || x.take(&x.in, more, bodyRoom, reading)
}

// take charges n bytes, and waits for room for a short time if there is none.
func (x *exchange) take(a *budget.Account, n int64, patience time.Duration, stuck phase) bool {
	if !a.Take(x.Done(), n, patience, func() { x.s.endSlowest(stuck) }) {
		return false
	}
	x.s.garbage.Spent(n)
	return true
}

// Header returns the header of the answer.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader begins the answer.
func (x *exchange) WriteHeader(status int) {
	if status >= http.StatusOK && !x.header {
		x.begin(status)
	}
	x.phase.Or(writing)
	x.w.WriteHeader(status)
	x.phase.And(^writing)
}

// begin takes note that the answer begins. If its connection ends with it, the peer has
// to know: it would send the next request into a connection that is being closed.
func (x *exchange) begin(status int) {
	x.header, x.status = true, status
	if x.interrupted.Load() && x.http1 {
		x.w.Header().Set("Connection", "close")
	}
}

// Write writes a part of the answer. It is charged to the budgets for as long
// as the peer does not take it.
func (x *exchange) Write(p []byte) (int, error) {
	if !x.header {
		x.begin(http.StatusOK)
	}
	if n := int64(len(p)) - x.out.Held(); n > smallBody {
		if !x.take(&x.out, n, answerRoom, writing) {
			x.cut(writing)
			return 0, x.s.answersFull()
		}
		defer func() { x.out.Release(n) }()
	}
	x.wrote += int64(len(p))
	written := 0
	x.phase.Or(writing)
	defer x.phase.And(^writing)
	for {
		part := p[written:min(len(p), written+piece)]
		m, err := x.w.Write(part)
		written += m
		x.moved.Add(int64(m))
		if err != nil || written >= len(p) {
			return written, err
		}
	}
}

// Flush sends what has been written.
func (x *exchange) Flush() {
	x.phase.Or(writing)
	_ = http.NewResponseController(x.w).Flush() // the next Write says what is wrong
	x.phase.And(^writing)
}

// SetReadDeadline sets the deadline of reads. One that has passed interrupts them, and
// if the body has ended just then, what it interrupts is net/http's own read, which
// takes that for a caller who is gone: it cancels all requests on the connection, also
// those that come later. So the connection ends with this request.
func (x *exchange) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		x.interrupted.Store(true)
	}
	return http.NewResponseController(x.w).SetReadDeadline(t)
}

// Unwrap lets http.ResponseController find the server's own writer.
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// cut ends the exchange from another goroutine. Reads fail from now on. Writes
// fail too, unless the exchange was seen reading: a request with a slow body
// still gets its answer. Call it only while the exchange is in flight.
func (x *exchange) cut(seen phase) {
	x.late.Store(true)
	if x.http1 && x.conn != nil {
		x.conn.Ended()
	}
	rc := http.NewResponseController(x.w)
	past := time.Unix(1, 0)
	_ = x.SetReadDeadline(past)
	if seen != reading {
		_ = rc.SetWriteDeadline(past)
	}
}

// extend postpones the deadline for the end of the answer.
func (x *exchange) extend() {
	if !x.late.Load() {
		_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(unreadTimeout))
	}
}

// busy returns the error for a request for which there is no room. Its handler
// has not begun, or has not read its body to the end.
func busy(format string, args ...any) *fault.Error {
	e := fault.New(fault.ServerBusy, format, args...).WithFix("try again in a moment")
	e.NotStarted = true
	return e
}

func (s *Server) bodiesFull() *fault.Error {
	return busy("the requests in flight take %d MiB on this core or %d MiB on this connection, the limit", s.cfg.Memory>>20, s.cfg.ConnMemory>>20)
}

// answersFull returns the error for an answer without room. It does not claim
// that the call has not started: a call with an answer has.
func (s *Server) answersFull() *fault.Error {
	return fault.New(fault.ServerBusy, "the answers that callers have not read yet take %d MiB on this core or %d MiB on this connection, the limit",
		s.cfg.Memory>>20, s.cfg.ConnMemory>>20).WithFix("read the answers, or use more connections")
}

// Hold charges an answer that takes n bytes of memory to the budgets, until the
// request ends. A handler calls it before it encodes a large answer, so that on
// SERVER_BUSY it can still answer with the error. Without Hold, an answer is
// charged as it is written.
func Hold(ctx context.Context, n int) error {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok || n <= smallBody {
		return nil
	}
	if !x.take(&x.out, int64(n), answerRoom, writing) {
		return x.s.answersFull()
	}
	return nil
}

// panicked records the panic of a handler.
func (s *Server) panicked(r *http.Request, p any) {
	s.log.Error("handler panicked", "path", fault.Cut(r.URL.Path, 128), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if s.cfg.Panicked != nil {
		s.cfg.Panicked()
	}
}

var (
	_ http.ResponseWriter = (*exchange)(nil)
	_ http.Flusher        = (*exchange)(nil)
	_ io.ReadCloser       = (*exchange)(nil)
	_ context.Context     = (*exchange)(nil)
)
