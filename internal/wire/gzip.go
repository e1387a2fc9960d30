package wire

import (
	"compress/gzip"
	"fmt"
	"io"

	"connectrpc.com/connect"
)

// overshoot is how far past its bound a message is inflated before that ends:
// connect reads one byte more than it takes, to see that there is one.
const overshoot = 64 << 10

// boundedGzip is gzip, as connect has it, for messages of at most maxBytes. By
// itself connect inflates a message that is over its bound to its end, to say how
// long it is: seconds of CPU for a megabyte of zeros of zeros.
func boundedGzip(maxBytes int) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &boundedReader{most: int64(maxBytes) + overshoot} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) })
}

// boundedReader inflates so many bytes and no more.
type boundedReader struct {
	gzip.Reader
	most, read int64
}

func (r *boundedReader) Read(p []byte) (int, error) {
	if r.read >= r.most {
		return 0, fmt.Errorf("it inflates to more than %d bytes", r.most)
	}
	n, err := r.Reader.Read(p[:min(int64(len(p)), r.most-r.read)])
	r.read += int64(n)
	return n, err
}

// Reset begins with another message.
func (r *boundedReader) Reset(from io.Reader) error {
	r.read = 0
	return r.Reader.Reset(from)
}

var _ connect.Decompressor = (*boundedReader)(nil)
