package exchange

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/textproto"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

const (
	// kept is how much of an answer is kept before it streams, in bytes.
	kept = 32 << 10
	// sniffed is how much of a body http.DetectContentType looks at.
	sniffed = 512
)

// writer is the http.ResponseWriter of an exchange. It behaves as that of
// net/http's server, but keeps more before it streams and is always full duplex.
type writer struct {
	x      *exchange
	header http.Header

	status   int    // 0 until the head is final
	head     []byte // encoded when it is final, so that later changes do not count
	began    bool   // the host has the head
	trailers []string
	sniff    bool // the content type is to be found in the body

	buf      []byte
	counted  int64 // bytes that the handler wrote
	declared int64 // Content-Length, or -1
	handed   int   // bytes that the host took without a stream
	streams  bool
	deadline time.Time // of writes, for a stream that is opened later

	hijacked *hijacked
	over     atomic.Bool
}

var (
	_ http.Flusher    = (*writer)(nil)
	_ http.Hijacker   = (*writer)(nil)
	_ io.StringWriter = (*writer)(nil)
)

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	switch {
	case w.over.Load():
		return
	case w.hijacked != nil:
		log.Printf("web: WriteHeader(%d) on a hijacked connection, called by %s", status, callerOutside())
		return
	case w.status != 0:
		log.Printf("web: superfluous WriteHeader(%d) after %d, called by %s", status, w.status, callerOutside())
		return
	case status < 100 || status > 999:
		// As in net/http: no such status can be sent.
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		head := abi.AppendField(nil, abi.HeadStatus, strconv.Itoa(status))
		w.x.host.HeadWrite(host.AppendFields(head, w.header, func(name string) bool {
			return name == "Content-Length" || name == "Transfer-Encoding"
		}))
		return
	}
	w.status = status
	if length := first(w.header["Content-Length"]); length != "" {
		n, err := strconv.ParseInt(length, 10, 64)
		if err == nil && n >= 0 {
			w.declared = n
		} else {
			log.Printf("web: invalid Content-Length of %q", length)
			w.header.Del("Content-Length")
		}
	}
	for _, list := range w.header["Trailer"] {
		host.EachElement(list, func(name string) {
			if name = textproto.CanonicalMIMEHeaderKey(name); host.ValidTrailer(name) {
				w.trailers = append(w.trailers, name)
			}
		})
	}
	_, typed := w.header["Content-Type"]
	_, framed := w.header["Transfer-Encoding"]
	w.sniff = w.bodyAllowed() && !typed && !framed && first(w.header["Content-Encoding"]) == ""
	w.head = abi.AppendField(w.head, abi.HeadStatus, strconv.Itoa(status))
	w.head = host.AppendFields(w.head, w.header, w.suppressed)
}

// first is the value that http.Header.Get returns.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// suppressed reports whether a field is left out of the head. How the message
// is framed is the host's affair.
func (w *writer) suppressed(name string) bool {
	switch name {
	case "Transfer-Encoding":
		return true
	case "Content-Length":
		return !w.bodyAllowed()
	case "Content-Type":
		return w.status == http.StatusNotModified
	}
	return strings.HasPrefix(name, http.TrailerPrefix)
}

// bodyAllowed reports whether an answer of this status can have a body.
func (w *writer) bodyAllowed() bool {
	return w.status >= 200 && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

func (w *writer) isHead() bool { return w.x.req.Method == http.MethodHead }

func (w *writer) Write(p []byte) (int, error) {
	if err := w.admit(len(p)); err != nil || len(p) == 0 {
		return 0, err
	}
	switch {
	case w.isHead():
		w.buf = append(w.buf, p[:min(len(p), sniffed-min(len(w.buf), sniffed))]...)
		return len(p), nil
	case len(w.buf)+len(p) <= kept:
		w.buf = append(w.buf, p...)
		return len(p), nil
	}
	taken := kept - len(w.buf)
	w.buf = append(w.buf, p[:taken]...)
	if err := w.send(); err != nil {
		return 0, err
	}
	if len(p)-taken < kept {
		w.buf = append(w.buf, p[taken:]...)
		return len(p), nil
	}
	n, err := w.x.stream.Write(p[taken:])
	return taken + n, w.x.gone(err)
}

func (w *writer) WriteString(s string) (int, error) {
	if w.isHead() || len(w.buf)+len(s) > kept {
		return w.Write([]byte(s))
	}
	if err := w.admit(len(s)); err != nil {
		return 0, err
	}
	w.buf = append(w.buf, s...)
	return len(s), nil
}

// admit decides whether n bytes more can be written.
func (w *writer) admit(n int) error {
	if err := w.answers(); err != nil || n == 0 {
		return err
	}
	if !w.bodyAllowed() {
		return http.ErrBodyNotAllowed
	}
	w.counted += int64(n)
	if w.declared >= 0 && w.counted > w.declared {
		return http.ErrContentLength
	}
	return nil
}

// answers gives the answer a status if it has none. It returns why there can be no
// more of it.
func (w *writer) answers() error {
	switch {
	case w.over.Load():
		return errEnded
	case w.hijacked != nil:
		return http.ErrHijacked
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	return nil
}

func (w *writer) Flush() { _ = w.FlushError() }

// FlushError sends what was written on its way to the caller. An answer that
// ends right after it does not stream.
func (w *writer) FlushError() error {
	if err := w.answers(); err != nil {
		return err
	}
	if err := w.hand(); err != nil {
		return err
	}
	if n := w.x.host.OutputFlush(); n < 0 {
		return w.x.gone(host.Error(n))
	}
	return nil
}

// begin gives the head to the host.
func (w *writer) begin() error {
	if w.began {
		return nil
	}
	w.began = true
	if w.sniff && len(w.buf) > 0 {
		w.head = abi.AppendField(w.head, "Content-Type", http.DetectContentType(w.buf))
	}
	if n := w.x.host.HeadWrite(w.head); n < 0 {
		return fmt.Errorf("the head of the answer was refused: %w", w.x.gone(host.Error(n)))
	}
	w.head = nil
	return nil
}

// send gives the head and what is kept to the host, and waits while it has no
// room.
func (w *writer) send() error {
	if err := w.begin(); err != nil {
		return err
	}
	s, err := w.x.open()
	if err != nil {
		return err
	}
	if !w.streams {
		w.streams = true
		if !w.deadline.IsZero() {
			if err := s.SetWriteDeadline(w.deadline); err != nil {
				return host.Cause(err)
			}
		}
	}
	if len(w.buf) == 0 || w.isHead() {
		return nil
	}
	_, err = s.Write(w.buf)
	w.buf = w.buf[:0]
	return w.x.gone(err)
}

// hand is send without a stream, as long as the host certainly has room. Most
// answers that are flushed are short and end right after the flush.
func (w *writer) hand() error {
	if w.streams || w.handed+len(w.buf) > kept {
		return w.send()
	}
	if err := w.begin(); err != nil {
		return err
	}
	if w.isHead() {
		return nil
	}
	w.handed += len(w.buf)
	err := host.WriteAll(w.x.host, w.buf)
	w.buf = w.buf[:0]
	return w.x.gone(err)
}

// finish sends the rest of the answer, after the handler has returned.
func (w *writer) finish() error {
	if w.hijacked != nil {
		return w.hijacked.wait()
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	body := w.bodyAllowed() && !w.isHead()
	if body && w.declared >= 0 && w.counted < w.declared {
		return fmt.Errorf("the service declared a Content-Length of %d and wrote %d bytes", w.declared, w.counted)
	}
	trailers := w.finalTrailers()
	if !w.began && w.isHead() && w.bodyAllowed() && w.declared < 0 && w.counted > 0 && w.counted <= kept && len(trailers) == 0 && len(w.trailers) == 0 {
		// The host does so for the answer of a GET, whose body it has.
		w.head = abi.AppendField(w.head, "Content-Length", strconv.FormatInt(w.counted, 10))
	}
	if err := w.hand(); err != nil {
		return fmt.Errorf("the answer was not taken: %w", err)
	}
	if len(trailers) > 0 {
		if n := w.x.host.TrailersWrite(trailers); n < 0 {
			return fmt.Errorf("the trailers of the answer were refused: %w", host.Error(n))
		}
	}
	return nil
}

// finalTrailers returns the trailers, those that were declared and those with
// http.TrailerPrefix, or nil.
func (w *writer) finalTrailers() (fields []byte) {
	add := func(name string, values []string) {
		for _, v := range values {
			if v, ok := host.FieldValue(v); ok {
				fields = abi.AppendField(fields, name, v)
			}
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && host.ValidTrailer(textproto.CanonicalMIMEHeaderKey(name)) {
			add(name, values)
		}
	}
	for _, name := range w.trailers {
		add(name, w.header[name])
	}
	return fields
}

// EnableFullDuplex does nothing: an exchange always is.
func (w *writer) EnableFullDuplex() error { return nil }

// SetReadDeadline sets the deadline of reading the body.
func (w *writer) SetReadDeadline(t time.Time) error {
	if !w.x.body.streams {
		return nil // nothing to wait for
	}
	s, err := w.x.open()
	if err != nil {
		return err
	}
	return host.Cause(s.SetReadDeadline(t))
}

// SetWriteDeadline sets the deadline of writing the answer, as far as it
// streams.
func (w *writer) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	if !w.streams {
		return nil
	}
	return host.Cause(w.x.stream.SetWriteDeadline(t))
}

// callerOutside returns the function and place that called into this package.
func callerOutside() string {
	pc := make([]uintptr, 16)
	frames := runtime.CallersFrames(pc[:runtime.Callers(1, pc)])
	for {
		frame, more := frames.Next()
		if !strings.HasPrefix(frame.Function, "github.com/ruedo-dev/ruedo/sdk/web/internal/exchange.") {
			return fmt.Sprintf("%s (%s:%d)", frame.Function, frame.File, frame.Line)
		}
		if !more {
			return "unknown"
		}
	}
}

var errBegan = errors.New("web: the answer has begun")
