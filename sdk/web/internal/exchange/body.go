package exchange

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"sync"

	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

// body is a request's body. What the host has whole is read at the beginning;
// the rest is read from the exchange's stream.
type body struct {
	x       *exchange
	whole   []byte // what is left of it
	streams bool

	mu     sync.Mutex
	err    error // of every later Read
	closed bool
}

// begin sets the body of the request, its length and its trailers.
func (b *body) begin() error {
	x, r := b.x, b.x.req
	if names := r.Header["Trailer"]; names != nil {
		// As in net/http, the names are known before the body, the values after it.
		r.Trailer = make(http.Header)
		for _, list := range names {
			host.EachElement(list, func(name string) {
				if name = textproto.CanonicalMIMEHeaderKey(name); host.ValidTrailer(name) {
					r.Trailer[name] = nil
				}
			})
		}
		delete(r.Header, "Trailer")
	}
	size := x.host.InputSize()
	switch {
	case size < 0 && r.Header.Get("Upgrade") != "" && r.Header.Get("Content-Length") == "":
		// The stream is the connection, which the handler can hijack.
		b.streams = true
		r.Body = http.NoBody
		return nil
	case size < 0:
		b.streams = true
		r.ContentLength = -1
		if n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
			r.ContentLength = n
		}
	case size == 0 && r.Trailer == nil:
		r.Body = http.NoBody
		b.err = io.EOF
		return nil
	default:
		// One byte more than the body, so that its end is found without growing.
		whole, err := host.ReadAll(x.host.InputRead, make([]byte, 0, int(size)+1))
		if err != nil {
			return fmt.Errorf("the body of the request cannot be read: %w", err)
		}
		b.whole, r.ContentLength = whole, int64(len(whole))
	}
	r.Body = b
	return nil
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.state(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.next(p)
	if err == io.EOF {
		err = b.readTrailers()
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = b.end(err)
	}
	return n, err
}

func (b *body) next(p []byte) (int, error) {
	if b.streams {
		s, err := b.x.open()
		if err != nil {
			return 0, err
		}
		n, err := s.Read(p)
		if err != nil {
			_ = b.x.gone(err)
		}
		return n, host.ReadError(err)
	}
	n := copy(p, b.whole)
	b.whole = b.whole[n:]
	if len(b.whole) == 0 && (n == 0 || b.x.req.Trailer == nil) {
		return n, io.EOF
	}
	return n, nil
}

// readTrailers is called at the end of the body. It returns io.EOF unless the
// trailers cannot be read.
func (b *body) readTrailers() error {
	if !b.streams && b.x.req.Trailer == nil {
		return io.EOF
	}
	s, err := b.x.open()
	if err != nil {
		return err
	}
	trailers, err := s.Trailers()
	if err != nil {
		return host.ReadError(err)
	}
	for name, values := range trailers {
		if !host.ValidTrailer(name) {
			continue
		}
		if b.x.req.Trailer == nil {
			b.x.req.Trailer = make(http.Header)
		}
		b.x.req.Trailer[name] = values
	}
	return io.EOF
}

func (b *body) state() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return http.ErrBodyReadAfterClose
	}
	return b.err
}

// end makes err the result of every later Read, and returns what this one
// returns.
func (b *body) end(err error) error {
	if errors.Is(err, os.ErrClosed) || errors.Is(err, errEnded) {
		err = http.ErrBodyReadAfterClose
	}
	b.mu.Lock()
	b.err = err
	b.mu.Unlock()
	if err == io.EOF {
		b.x.ctx.bodyEnded()
	}
	return err
}

// atEnd reports whether the body was read to its end.
func (b *body) atEnd() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF || !b.streams
}

// Close makes every later Read fail. The host drops what was not read.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}
