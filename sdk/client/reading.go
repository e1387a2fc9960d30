package client

import (
	"context"
	"time"

	"connectrpc.com/connect"
)

// minStream is how long a stream must have lasted to be continued: a core ends
// those that follow after an hour.
const minStream = time.Minute

// read yields the messages of a stream until yield returns false. It ends after an
// error, or with the stream, unless it follows. If a core goes away, open is called
// again, for the next one: by then, yield has noted how far it came.
func read[M any](ctx context.Context, c *Client, follow bool, open func(context.Context) (*connect.ServerStreamForClient[M], error), yield func(*M, error) bool) {
	attempts := c.reading()
	for {
		began := time.Now()
		got, more, err := receive(ctx, open, yield)
		if got {
			attempts = c.reading()
		}
		switch {
		case err != nil && attempts.again(ctx, err): // after what was received
		case err != nil:
			yield(nil, err)
			return
		case !more || !follow || time.Since(began) < minStream:
			return
		}
	}
}

// receive reads one stream. It reports whether it received anything, and whether more
// is wanted.
func receive[M any](ctx context.Context, open func(context.Context) (*connect.ServerStreamForClient[M], error), yield func(*M, error) bool) (got, more bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := open(ctx)
	if err != nil {
		return false, true, err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if got = true; !yield(stream.Msg(), nil) {
			return got, false, nil
		}
	}
	return got, true, stream.Err()
}
