package middleware

import (
	"bytes"
	"io"

	"connectrpc.com/connect"
	"github.com/klauspost/compress/gzip"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// overshoot is how far past its limit a message is inflated at most: connect
// reads one byte more than it accepts, to detect a message that is too long.
const overshoot = 64 << 10

// boundedGzip is connect's gzip for messages of at most maxBytes. On its own,
// connect inflates a message that exceeds its limit to the end, to report its
// length. That costs seconds of CPU for a megabyte of doubly compressed zeros.
// Large messages take turns, and are counted before there is memory for them.
func boundedGzip(maxBytes int, turns Turns) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &boundedReader{limit: int64(maxBytes), turns: turns} },
		func() connect.Compressor { return &politeWriter{gzip: fastGzip(), turns: turns} })
}

// fastGzip compresses at the fastest level: answers are read once, and calls
// need the CPU, too.
func fastGzip() *gzip.Writer {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is valid
	}
	return w
}

// boundedReader inflates a bounded number of bytes. It does not embed the inner
// reader, whose WriteTo would bypass the bound.
//
// A large message is inflated twice, the first time only to count it: a bomb would
// make memory grow up to the limit, and all of that would be garbage.
type boundedReader struct {
	gzip        gzip.Reader
	limit, read int64
	message     []byte // compressed; nil if it is not known whole
	counter     *counter
	turns       Turns
	done        func() // ends the turn; nil without one
}

func (r *boundedReader) Read(p []byte) (int, error) {
	if r.read >= r.limit+overshoot {
		return 0, r.tooLarge()
	}
	if r.read >= heavy && r.done == nil {
		r.done = r.turns.Take(heavy)
		if r.counter == nil {
			r.counter = &counter{}
		}
		if r.counter.exceeds(r.message, r.limit) {
			return 0, r.tooLarge()
		}
	}
	n, err := r.gzip.Read(p[:min(int64(len(p)), r.limit+overshoot-r.read)])
	r.read += int64(n)
	return n, err
}

func (r *boundedReader) tooLarge() error {
	return faultrpc.ToConnect(fault.New(fault.InputTooLarge, "the message inflates to more than %d bytes, the limit", r.limit).
		With("limit", r.limit).WithFix("send less in one message"))
}

// Reset begins another message.
func (r *boundedReader) Reset(from io.Reader) error {
	r.endTurn()
	r.read, r.message = 0, nil
	if whole, ok := from.(*bytes.Buffer); ok {
		r.message = whole.Bytes()
	}
	return r.gzip.Reset(from)
}

// Close ends a message.
func (r *boundedReader) Close() error {
	r.endTurn()
	r.message = nil
	return r.gzip.Close()
}

func (r *boundedReader) endTurn() {
	if r.done != nil {
		r.done()
		r.done = nil
	}
}

// counter counts what messages inflate to.
type counter struct {
	gzip gzip.Reader
	room [32 << 10]byte
}

// exceeds reports whether a message inflates to more than limit bytes. One that is
// damaged does so as far as it can be read.
func (c *counter) exceeds(message []byte, limit int64) bool {
	if err := c.gzip.Reset(bytes.NewReader(message)); err != nil {
		return false
	}
	for total := int64(0); total <= limit; {
		n, err := c.gzip.Read(c.room[:])
		total += int64(n)
		if err != nil {
			return total > limit
		}
	}
	return true
}

// politeWriter compresses.
type politeWriter struct {
	gzip  *gzip.Writer
	turns Turns
}

// Reset begins another message.
func (w *politeWriter) Reset(to io.Writer) { w.gzip.Reset(to) }

// Close ends a message.
func (w *politeWriter) Close() error { return w.gzip.Close() }

func (w *politeWriter) Write(p []byte) (int, error) {
	defer w.turns.Take(len(p))()
	return w.gzip.Write(p)
}

var (
	_ connect.Decompressor = (*boundedReader)(nil)
	_ connect.Compressor   = (*politeWriter)(nil)
)
