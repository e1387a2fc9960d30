package exchange

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/middleware"
)

const (
	// piece is the size of the largest body that is handed over whole, and how much
	// is read or written at a time.
	piece = 32 << 10
	// firstPiece is how much of a body of unknown length is expected: one message.
	firstPiece = 512
	// patience is how long a body can take to end before it streams. A unary call
	// of gRPC has it there within that time.
	patience = 200 * time.Microsecond
	// maxDrain and drainTime bound what is read of a body that the service has not
	// read, so that the connection can be used again, and why it ended is known.
	maxDrain  = 1 << 20
	drainTime = 500 * time.Millisecond
)

var errBodyClosed = errors.New("the exchange is over")

// body is the body of a request. One goroutine at a time reads from it; Close can
// be called by another one. It reads the request's own body on goroutines, one at a
// time, so that Close never has to interrupt it: net/http would take that for a
// caller who has gone.
type body struct {
	r       *http.Request
	rc      *http.ResponseController
	expects bool // the caller waits for "100 Continue"

	mu      sync.Mutex   // held while reading
	got     chan fetched // nil before the first read
	reading bool         // a read of the request's body is in flight
	used    bool         // there was one
	have    []byte       // read, but not handed over
	err     error        // what comes after it
	buf     []byte

	ended  atomic.Bool // the request's body was read to its end
	close  sync.Once
	closed chan struct{} // nil unless the body streams
}

// fetched is the result of one read of the request's body.
type fetched struct {
	data []byte
	err  error
}

func newBody(r *http.Request, rc *http.ResponseController) *body {
	b := &body{r: r, rc: rc}
	b.expects = httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue")
	if r.Body == nil || r.Body == http.NoBody {
		b.end()
	}
	return b
}

// end takes note of the end of the request's body. Only a reader calls it.
func (b *body) end() {
	b.err = io.EOF
	b.ended.Store(true)
}

// begin reads the beginning of the body. If it is whole, nothing follows. Otherwise
// the rest can be read.
func (b *body) begin() (first []byte, whole bool, err error) {
	first, whole, err = b.first()
	if !whole {
		b.closed = make(chan struct{})
	}
	return first, whole, err
}

// first reads what there is of the body within patience, at most a piece.
func (b *body) first() (first []byte, whole bool, err error) {
	n := b.r.ContentLength
	switch {
	case b.err != nil:
		return nil, true, nil
	case b.expects:
		return nil, false, nil // the first read says "100 Continue", which is the service's decision
	case n >= 0 && n <= piece && b.r.Trailer == nil:
		first = make([]byte, n)
		if _, err := io.ReadFull(b.r.Body, first); err != nil {
			b.err = err
			return nil, false, middleware.BrokenBody(err)
		}
		b.end()
		return first, true, nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	buf, have := make([]byte, firstPiece), 0
	for b.err == nil {
		if have == len(buf) {
			if have == piece {
				return buf, false, nil
			}
			buf = append(buf, make([]byte, min(8*have, piece)-have)...)
		}
		b.fetch(buf[have:])
		select {
		case f := <-b.got:
			b.reading, b.err = false, f.err
			have += len(f.data)
		case <-timer.C:
			return buf[:have], false, nil
		}
	}
	return buf[:have], b.err == io.EOF && len(b.r.Trailer) == 0, nil
}

// fetch begins to read, unless a read is in flight.
func (b *body) fetch(into []byte) {
	if b.reading {
		return
	}
	b.reading, b.used = true, true
	if b.got == nil {
		b.got = make(chan fetched, 1)
	}
	go func() {
		n, err := b.r.Body.Read(into)
		if err == io.EOF {
			b.ended.Store(true)
		}
		b.got <- fetched{into[:n], err}
	}()
}

// Read returns what comes after the first bytes.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.have) == 0 && b.err == nil {
		if b.buf == nil {
			b.buf = make([]byte, piece) // the first bytes are still in use
		}
		b.fetch(b.buf)
		select {
		case f := <-b.got:
			b.reading, b.have, b.err = false, f.data, f.err
		case <-b.closed:
			return 0, errBodyClosed
		}
	}
	select {
	case <-b.closed:
		return 0, errBodyClosed
	default:
	}
	n := copy(p, b.have)
	if b.have = b.have[n:]; len(b.have) == 0 {
		return n, b.err
	}
	return n, nil
}

// Close ends a Read in flight, and makes every later one fail.
func (b *body) Close() error {
	b.close.Do(func() {
		if b.closed != nil {
			close(b.closed)
		}
	})
	return nil
}

// unread reports whether the connection of the request cannot be used again: the
// body was not read to its end. Only HTTP/1 has such connections.
func (b *body) unread() bool { return b.r.ProtoMajor == 1 && !b.ended.Load() }

// drain reads what nobody reads, if that is little and comes soon. Call it when the
// call is over, before the answer begins.
func (b *body) drain() {
	_ = b.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.unread() || b.expects && !b.used || b.r.ContentLength > maxDrain {
		return
	}
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	if b.buf == nil {
		b.buf = make([]byte, piece)
	}
	for n := 0; b.err == nil && n < maxDrain; {
		b.fetch(b.buf)
		select {
		case f := <-b.got:
			b.reading, b.err = false, f.err
			n += len(f.data)
		case <-timer.C:
			return
		}
	}
}

// failure returns why the port ended the body, nil if it did not. Call it when the
// call has failed. The call can be over before the read that made it fail, so
// failure waits a moment for that.
func (b *body) failure() error {
	_ = b.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading && b.err == nil {
		late := time.NewTimer(drainTime)
		defer late.Stop()
		select {
		case f := <-b.got:
			b.reading, b.err = false, f.err
		case <-late.C:
		}
	}
	if b.err == nil || b.err == io.EOF {
		return nil
	}
	if err := middleware.BrokenBody(b.err); !errors.Is(err, fault.InputBroken) {
		return err
	}
	return nil
}

// stop returns when nobody reads the request's body any more. Call it when the
// answer is complete.
func (b *body) stop() {
	_ = b.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.reading {
		return
	}
	select {
	case <-b.got:
	default:
		_ = b.rc.SetReadDeadline(time.Unix(1, 0)) // the caller has the answer
		<-b.got
	}
	b.reading = false
}
