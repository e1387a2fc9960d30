package front

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// joined is up to how many bytes of an answer are copied, to be sent in one piece
	// with its head.
	joined = 16 << 10
	// kept is the largest buffer that is kept for another answer.
	kept = 4 << 10
	// unread is how long the end of an answer can wait for its reader.
	unread = 30 * time.Second
)

// answer is the answer to a request.
type answer struct {
	c      *conn
	header http.Header
	status int
	length int64 // as the header says; -1 if it does not
	wrote  int64
	sent   bool // the head was
	chunks bool // the body is sent in chunks
	last   bool // the connection ends with the answer
	broken bool
	buf    []byte   // the head, and what is sent with it or not at all yet
	names  []string // of the fields, in their order
}

// reset begins another answer.
func (a *answer) reset() {
	clear(a.header)
	a.status, a.length, a.wrote = 0, 0, 0
	a.sent, a.chunks, a.last, a.broken = false, false, false, false
	a.buf = a.buf[:0]
	if cap(a.buf) > kept {
		a.buf = nil
	}
}

// Header returns the header, which counts until WriteHeader or Write.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader sets the status. Those below 200 announce nothing here.
func (a *answer) WriteHeader(status int) {
	if a.status != 0 || status < http.StatusOK {
		return
	}
	a.status, a.length = status, -1
	if v := a.header["Content-Length"]; len(v) == 1 {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil && n >= 0 {
			a.length = n
		}
	}
	if a.length >= 0 {
		a.begin()
	}
}

// Write writes a part of the body. One that was not announced is sent at the end if it is
// short, and in chunks otherwise.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.wrote += int64(len(p))
	if a.length >= 0 && a.wrote > a.length {
		return 0, http.ErrContentLength
	}
	if !a.sent && len(a.buf)+len(p) <= joined {
		a.buf = append(a.buf, p...)
		if a.wrote != a.length {
			return len(p), nil
		}
		return len(p), a.send(a.buf)
	}
	if err := a.sendHead(); err != nil {
		return 0, err
	}
	switch {
	case len(p) == 0: // an empty chunk would be the last
		return 0, nil
	case a.chunks:
		return len(p), a.chunk(p)
	}
	n, err := a.c.Conn.Write(p)
	a.broken = a.broken || err != nil
	return n, err
}

// send sends the head, and what is to be sent with it.
func (a *answer) send(b []byte) error {
	a.sent = true
	_, err := a.c.Conn.Write(b)
	a.broken = err != nil
	return err
}

// sendHead sends the head, and what was kept of the body, if neither was.
func (a *answer) sendHead() error {
	switch {
	case a.sent:
		return nil
	case a.length >= 0:
		return a.send(a.buf)
	}
	a.chunks = true
	delete(a.header, "Content-Length") // it is no length
	a.header["Transfer-Encoding"] = []string{"chunked"}
	body := slices.Clone(a.buf)
	a.buf = a.buf[:0]
	a.begin()
	if err := a.send(a.buf); err != nil || len(body) == 0 {
		return err
	}
	return a.chunk(body)
}

// chunk sends a chunk; the last one is empty.
func (a *answer) chunk(p []byte) error {
	a.buf = append(strconv.AppendInt(a.buf[:0], int64(len(p)), 16), "\r\n"...)
	size := len(a.buf)
	a.buf = append(a.buf, "\r\n"...)
	parts := net.Buffers{a.buf[:size], p, a.buf[size:]}
	_, err := parts.WriteTo(a.c.Conn)
	a.broken = a.broken || err != nil
	return err
}

// finish sends what has not been sent. It reports whether the answer is whole.
func (a *answer) finish() bool {
	a.WriteHeader(http.StatusOK)
	if a.sent && !a.chunks {
		return !a.broken && a.wrote == a.length
	}
	// Nobody watches this write.
	a.c.moved.Store(true)
	_ = a.c.Conn.SetWriteDeadline(time.Now().Add(unread))
	if a.chunks {
		return !a.broken && a.chunk(nil) == nil
	}
	body := 0
	if a.length < 0 { // the head follows what it announces, which follows again
		body, a.length = len(a.buf), a.wrote
		a.header["Content-Length"] = []string{strconv.FormatInt(a.wrote, 10)}
		a.begin()
		a.buf = append(a.buf, a.buf[:body]...)
	}
	return a.send(a.buf[body:]) == nil && a.wrote == a.length
}

// begin writes the head to the buffer.
func (a *answer) begin() {
	if a.c.f.leaving.Load() {
		a.Last() // or the next request would be sent in vain
	}
	b := append(a.buf, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	b = append(append(append(b, ' '), http.StatusText(a.status)...), "\r\n"...)
	a.names = a.names[:0]
	for name := range a.header {
		if httpguts.ValidHeaderFieldName(name) {
			a.names = append(a.names, name)
		}
	}
	slices.Sort(a.names)
	dated := false
	for _, name := range a.names {
		dated = dated || name == "Date"
		for _, v := range a.header[name] {
			if name == "Connection" && strings.EqualFold(v, "close") {
				a.last = true
			}
			b = append(append(b, name...), ": "...)
			b = append(appendValue(b, v), "\r\n"...)
		}
	}
	if !dated {
		b = append(append(append(b, "Date: "...), a.c.f.date()...), "\r\n"...)
	}
	a.buf = append(b, "\r\n"...)
}

// appendValue appends the value of a field, which cannot end its line.
func appendValue(b []byte, v string) []byte {
	if httpguts.ValidHeaderFieldValue(v) {
		return append(b, strings.Trim(v, " \t")...)
	}
	return append(b, strings.TrimSpace(strings.NewReplacer("\r", " ", "\n", " ").Replace(v))...)
}

// Last has the connection end with the answer, once the peer has had time to read it.
func (a *answer) Last() {
	if !a.sent {
		a.header["Connection"] = []string{"close"}
	}
	a.last = true
}

// Flush does nothing: answers are short, or their length is known, and then what is
// written is sent.
func (a *answer) Flush() {}

// SetReadDeadline sets the deadline of reads of the body.
func (a *answer) SetReadDeadline(t time.Time) error {
	a.c.moved.Store(true)
	return a.c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline of writes.
func (a *answer) SetWriteDeadline(t time.Time) error {
	a.c.moved.Store(true)
	return a.c.Conn.SetWriteDeadline(t)
}

// clock is the field Date of the present second.
type clock struct {
	second int64
	text   string
}

// date returns the time in the form of the field Date.
func (f *Front) date() string {
	now := time.Now()
	if d := f.clock.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &clock{now.Unix(), now.UTC().Format(http.TimeFormat)}
	f.clock.Store(d)
	return d.text
}
