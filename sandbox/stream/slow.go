package stream

import (
	"bytes"
	"io"
	"time"
)

// slowness is how long a slow body takes between its halves: long enough for the
// guest to wait for it.
const slowness = time.Millisecond

// Slow returns a body that streams b in two halves, each after a while, so that a
// guest that reads it has to wait.
func Slow(b []byte) io.Reader {
	half := len(b) / 2
	return io.MultiReader(&late{bytes.NewReader(b[:half])}, &late{bytes.NewReader(b[half:])})
}

type late struct{ r *bytes.Reader }

func (l *late) Read(to []byte) (int, error) {
	if l.r.Len() == int(l.r.Size()) {
		time.Sleep(slowness)
	}
	return l.r.Read(to)
}

// Discard is a responder that reads answers and drops them.
var Discard Responder = discard{}

type discard struct{}

func (discard) Stream(_ []byte, body io.Reader) { _, _ = io.Copy(io.Discard, body) }
