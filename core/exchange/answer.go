package exchange

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/ruedo-dev/ruedo/core/gateway/fields"
	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/internal/httphead"
	"github.com/ruedo-dev/ruedo/internal/middleware"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// pieces are buffers for answers that stream.
var pieces = sync.Pool{New: func() any { return new([piece]byte) }}

// stream writes an answer that streams. It returns why the answer is not complete.
func (x *exchange) stream(head []byte, body io.Reader) error {
	if err := x.begin(head, -1, true); err != nil {
		return err
	}
	var to io.Writer = x.w
	flush := x.rc.Flush
	if hijacked := x.conn.hijacked(); hijacked != nil {
		to, flush = hijacked, func() error { return nil }
		if x.conn.frames != nil {
			to = watched{hijacked, x.conn.frames}
		}
	} else if n, _ := executor.Readable(body); n == 0 || x.bodyless { // otherwise the head goes with the first bytes
		if err := flush(); err != nil {
			return err
		}
	}
	if x.bodyless {
		to, flush = io.Discard, func() error { return nil }
	}
	buf := pieces.Get().(*[piece]byte)
	defer pieces.Put(buf)
	for {
		n, err := body.Read(buf[:])
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
			if err == io.EOF {
				return nil // the last bytes leave with the end of the answer
			}
			if err := flush(); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// whole writes an answer that does not stream. An error is returned only if the
// answer has not begun.
func (x *exchange) whole(res *invoke.Answer) error {
	if err := port.Hold(x.r.Context(), len(res.Output)); err != nil {
		return res.Undelivered(err)
	}
	x.body.drain()
	fields.SetInfo(x.w.Header(), res.Info)
	fields.SetLogs(x.w.Header(), res.Info)
	trailers := len(res.Trailers) > 0
	if err := x.begin(res.Head, len(res.Output), trailers); err != nil {
		return res.Undelivered(err)
	}
	if hijacked := x.conn.hijacked(); hijacked != nil {
		_, _ = hijacked.Write(res.Output) // the caller is gone
		return nil
	}
	if trailers && !x.bodyless && x.r.ProtoMajor == 1 {
		_ = x.rc.Flush() // net/http would announce the length of a short body, and leave out the trailers
	}
	if !x.bodyless {
		_, _ = x.w.Write(res.Output) // the caller is gone
	}
	return nil
}

// begin writes the head of the answer. size is that of the body, or -1 if it
// streams.
func (x *exchange) begin(head []byte, size int, trailers bool) error {
	a, err := httphead.ParseAnswer(head)
	if err != nil {
		return fault.Wrap(err, fault.GuestError, "the answer of service %s cannot be sent: %s", x.service, err)
	}
	x.restrict(a.Header)
	if a.Status == http.StatusSwitchingProtocols {
		return x.switchProtocols(a)
	}
	if a.Informational() {
		return fault.New(fault.GuestError, "service %s ended its answer with the status %d", x.service, a.Status)
	}
	x.conn.none()
	x.began = true
	x.bodyless = x.r.Method == http.MethodHead || a.Status == http.StatusNoContent || a.Status == http.StatusNotModified
	h := x.w.Header()
	maps.Copy(h, a.Header)
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // net/http does not guess it then
	}
	switch {
	case a.Status == http.StatusNoContent || a.Status == http.StatusNotModified:
		delete(h, "Content-Length")
	case size < 0 || x.bodyless: // what the service says
	case trailers || a.Header["Trailer"] != nil:
		delete(h, "Content-Length")
	default:
		h["Content-Length"] = []string{strconv.Itoa(size)}
	}
	if size < 0 {
		h[headers.CallID] = []string{x.id}
	}
	if a.Close && x.r.ProtoMajor == 1 {
		h["Connection"] = []string{"close"}
	}
	if x.body.unread() {
		port.CloseAfter(x.r.Context())
	}
	x.w.WriteHeader(a.Status)
	clear(h) // what is in it after the head can be taken for trailers
	return nil
}

// inform is the Inform of the exchange: it writes an informational head.
func (x *exchange) inform(head []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	a, err := httphead.ParseAnswer(head)
	if x.over || x.began || err != nil || !a.Informational() || !x.r.ProtoAtLeast(1, 1) {
		return
	}
	x.restrict(a.Header)
	h := x.w.Header()
	final := maps.Clone(h)
	clear(h)
	maps.Copy(h, a.Header)
	x.w.WriteHeader(a.Status)
	clear(h)
	maps.Copy(h, final)
}

// setTrailers sets the trailers of an answer whose body is complete. One that
// streamed says there what the call took, if the caller reads trailers.
func (x *exchange) setTrailers(res *invoke.Answer) {
	h := x.w.Header()
	if x.streams && httpguts.HeaderValuesContainsToken(x.r.Header["Te"], "trailers") {
		info := make(http.Header)
		fields.SetInfo(info, res.Info)
		for name, values := range info {
			h[http.TrailerPrefix+name] = values
		}
	}
	for name, values := range httphead.AnswerTrailers(res.Trailers) {
		h[http.TrailerPrefix+name] = values
	}
}

// setStatus ends an answer of gRPC that has begun with an error. It reports false for
// other protocols: what they say at the end is the service's.
func (x *exchange) setStatus(err error) bool {
	if mt := x.r.Header.Get("Content-Type"); mt != grpc && !strings.HasPrefix(mt, grpc+"+") && !strings.HasPrefix(mt, grpc+";") {
		return false
	}
	e := fault.FromError(err)
	h := x.w.Header()
	h[http.TrailerPrefix+"Grpc-Status"] = []string{strconv.Itoa(int(faultrpc.ToConnect(e).Code()))}
	h[http.TrailerPrefix+"Grpc-Message"] = []string{url.PathEscape(e.Message)}
	return true
}

// grpc is the media type of gRPC, without the encoding of its messages.
const grpc = "application/grpc"

// fail answers with an error, in the protocol of the request.
func (x *exchange) fail(err error) {
	e := middleware.Public(x.front.cfg.Logger, "svc", err)
	port.Count(x.r.Context(), e.Reason)
	x.body.drain()
	if x.body.unread() {
		port.CloseAfter(x.r.Context())
	}
	h := x.w.Header()
	info, ok := fault.Detail[*ruedov1.CallInfo](e)
	if ok {
		fields.SetInfo(h, info)
	}
	x.restrict(h)
	if !faultrpc.WriteRPC(x.w, x.r, e) {
		faultrpc.WriteCall(x.w, faultrpc.HTTPStatus(e), e, faultrpc.Said{Logs: string(info.GetLogs()), Trace: info.GetTrace()})
	}
}
