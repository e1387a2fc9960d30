package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// minStream is how long a stream must have lasted to be continued: a core ends
// those that follow after an hour.
const minStream = time.Minute

// ReadLogs returns what guests logged, in order of time, message by message. If
// the request follows, it goes on until ctx ends. It ends after an error. If a
// core goes away, a client of several cores continues at the next one.
func (c *Client) ReadLogs(ctx context.Context, req *ruedov1.ReadLogsRequest) iter.Seq2[*ruedov1.ReadLogsResponse, error] {
	return func(yield func(*ruedov1.ReadLogsResponse, error) bool) {
		req := proto.CloneOf(req)
		attempts := c.reading()
		for {
			began := time.Now()
			got, more, err := c.readLogs(ctx, req, yield)
			if got {
				attempts = c.reading()
			}
			switch {
			case err != nil && attempts.again(ctx, err): // after what was received
			case err != nil:
				yield(nil, err)
				return
			case !more || !req.GetFollow() || time.Since(began) < minStream:
				return
			}
		}
	}
}

// readLogs reads one stream, and notes in the request how far it came. It
// reports whether it received anything, and whether more is wanted.
func (c *Client) readLogs(ctx context.Context, req *ruedov1.ReadLogsRequest, yield func(*ruedov1.ReadLogsResponse, error) bool) (got, more bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Logs.ReadLogs(ctx, req)
	if err != nil {
		return false, true, err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		res := stream.Msg()
		for _, e := range res.GetEntries() {
			if req.After == nil {
				req.After = make(map[string]*timestamppb.Timestamp)
			}
			req.After[e.GetRunner()] = e.GetTime()
		}
		if got = true; !yield(res, nil) {
			return got, false, nil
		}
	}
	return got, true, stream.Err()
}
