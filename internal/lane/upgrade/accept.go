package upgrade

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http/httpguts"
)

// maxLate bounds what is read of a peer that does not know yet that the stream has ended.
const maxLate = 4 << 20

var errEarly = errors.New("bytes came before the switch")

// Asked reports whether a request asks for the upgrade. One that does not, or for
// another number only, is served as if it asked for nothing.
func Asked(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.Method == http.MethodGet && httpguts.HeaderValuesContainsToken(r.Header["Connection"], "Upgrade") &&
		httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], Protocol)
}

// Accept switches a request that [Asked]. It returns what a handler of the stream gets
// in place of the request and its writer. Call Finish when the handler has returned.
func Accept(w http.ResponseWriter, r *http.Request) (*Answer, *http.Request, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// What follows is read from the connection itself: what net/http reads with ends the
	// request's context. A runner sends nothing before it has the answer.
	err = errEarly
	if rw.Reader.Buffered() == 0 {
		_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+Protocol+"\r\n\r\n")
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	a := &Answer{Conn: newConn(conn, conn), conn: conn, header: make(http.Header)}
	s := r.WithContext(r.Context())
	s.Method, s.Proto, s.ProtoMajor, s.ProtoMinor = http.MethodPost, "HTTP/2.0", 2, 0 // both directions at the same time
	s.Header = r.Header.Clone()
	for _, field := range []string{"Connection", "Upgrade"} {
		s.Header.Del(field)
	}
	s.Header.Set("Content-Type", contentType)
	s.Body, s.ContentLength = io.NopCloser(a.Conn), -1
	return a, s, nil
}

// Answer is the core's end, as the writer of an answer without a head.
type Answer struct {
	*Conn
	conn   net.Conn
	header http.Header
}

// Header returns fields that nobody gets.
func (a *Answer) Header() http.Header { return a.header }

// WriteHeader does nothing: the answer has begun with the switch.
func (a *Answer) WriteHeader(int) {}

// Write takes what is sent by Flush.
func (a *Answer) Write(p []byte) (int, error) {
	a.out = append(a.out, p...)
	return len(p), nil
}

// Flush sends what was written.
func (a *Answer) Flush() {
	if len(a.out) > 0 {
		_ = a.flush() // reading says why
	}
}

// SetReadDeadline is for http.ResponseController.
func (a *Answer) SetReadDeadline(t time.Time) error { return a.conn.SetReadDeadline(t) }

// SetWriteDeadline is for http.ResponseController.
func (a *Answer) SetWriteDeadline(t time.Time) error { return a.conn.SetWriteDeadline(t) }

// Finish ends what is sent, and closes the connection when the other end has, or soon.
func (a *Answer) Finish() {
	if half, ok := a.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // else the other end waits until Close
	}
	_ = a.conn.SetReadDeadline(time.Now().Add(linger))
	_, _ = io.Copy(io.Discard, io.LimitReader(a.conn, maxLate))
	_ = a.conn.Close()
}

var (
	_ http.ResponseWriter = (*Answer)(nil)
	_ http.Flusher        = (*Answer)(nil)
)
