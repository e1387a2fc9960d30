package middleware

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// However a reader is read, even by io.Copy and the methods that it finds, it
// inflates no more than its bound.
func TestTheBoundOfAReaderHoldsForEveryWayToRead(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	const limit = 100_000
	for name, read := range map[string]func(r io.Reader) (int64, error){
		"Copy":     func(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) },
		"ReadFrom": func(r io.Reader) (int64, error) { return new(bytes.Buffer).ReadFrom(r) },
	} {
		r := &boundedReader{limit: limit}
		if err := r.Reset(bytes.NewReader(packed.Bytes())); err != nil {
			t.Fatal(err)
		}
		if n, err := read(r); err == nil || n > limit+overshoot {
			t.Errorf("%s: %d bytes and %v, want an error after %d", name, n, err, limit)
		}
	}
}

// A message over the limit is refused before memory has grown for it, and one
// within the limit is read whole.
func TestALargeMessageIsCountedFirst(t *testing.T) {
	const limit = 8 << 20
	r := &boundedReader{limit: limit}
	for what, tt := range map[string]struct {
		size    int
		refused bool
	}{
		"small":          {100, false},
		"at the limit":   {limit, false},
		"one byte over":  {limit + 1, true},
		"far over":       {3 * limit, true},
		"the next again": {limit, false},
	} {
		var packed, inflated bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Write(make([]byte, tt.size)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.Reset(&packed); err != nil {
			t.Fatal(err)
		}
		n, err := inflated.ReadFrom(io.LimitReader(r, limit+1))
		switch e := faultrpc.FromError(err); {
		case !tt.refused && (err != nil || n != int64(tt.size)):
			t.Errorf("%s: %d of %d bytes, %v", what, n, tt.size, err)
		case tt.refused && (err == nil || e.Reason != fault.InputTooLarge || e.Meta["limit"] != "8388608" || e.Fix == ""):
			t.Errorf("%s: %v", what, err)
		case tt.refused && inflated.Cap() > 4*heavy:
			t.Errorf("%s: it took %d bytes of memory to refuse it", what, inflated.Cap())
		}
	}
}
