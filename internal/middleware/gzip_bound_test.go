package middleware

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
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
		if n, err := read(r); err == nil || n > limit {
			t.Errorf("%s: %d bytes and %v, want an error after %d", name, n, err, limit)
		}
	}
}
