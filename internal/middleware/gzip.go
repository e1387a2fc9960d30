package middleware

import (
	"fmt"
	"io"

	"connectrpc.com/connect"
	"github.com/klauspost/compress/gzip"
)

// overshoot is how far past its limit a message is inflated at most: connect
// reads one byte more than it accepts, to detect a message that is too long.
const overshoot = 64 << 10

// boundedGzip is connect's gzip for messages of at most maxBytes. On its own,
// connect inflates a message that exceeds its limit to the end, to report its
// length. That costs seconds of CPU for a megabyte of doubly compressed zeros.
// Large messages take turns.
func boundedGzip(maxBytes int, turns Turns) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &boundedReader{limit: int64(maxBytes) + overshoot, turns: turns} },
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
type boundedReader struct {
	gzip        gzip.Reader
	limit, read int64
	turns       Turns
	done        func() // ends the turn; nil without one
}

func (r *boundedReader) Read(p []byte) (int, error) {
	if r.read >= r.limit {
		return 0, fmt.Errorf("it inflates to more than %d bytes", r.limit)
	}
	if r.read >= heavy && r.done == nil {
		r.done = r.turns.Take(heavy)
	}
	n, err := r.gzip.Read(p[:min(int64(len(p)), r.limit-r.read)])
	r.read += int64(n)
	return n, err
}

// Reset begins another message.
func (r *boundedReader) Reset(from io.Reader) error {
	r.endTurn()
	r.read = 0
	return r.gzip.Reset(from)
}

// Close ends a message.
func (r *boundedReader) Close() error {
	r.endTurn()
	return r.gzip.Close()
}

func (r *boundedReader) endTurn() {
	if r.done != nil {
		r.done()
		r.done = nil
	}
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
