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
// the request follows, it goes on until ctx ends. It ends after an error.
func (c *Client) ReadLogs(ctx context.Context, req *ruedov1.ReadLogsRequest) iter.Seq2[*ruedov1.ReadLogsResponse, error] {
	return func(yield func(*ruedov1.ReadLogsResponse, error) bool) {
		req := proto.CloneOf(req)
		for {
			began := time.Now()
			if more := c.readLogs(ctx, req, yield); !more || !req.GetFollow() || time.Since(began) < minStream {
				return
			}
		}
	}
}

// readLogs reads one stream, and notes in the request how far it came. It
// reports whether the stream ended without an error.
func (c *Client) readLogs(ctx context.Context, req *ruedov1.ReadLogsRequest, yield func(*ruedov1.ReadLogsResponse, error) bool) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Logs.ReadLogs(ctx, req)
	if err != nil {
		yield(nil, err)
		return false
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
		if !yield(res, nil) {
			return false
		}
	}
	if err := stream.Err(); err != nil {
		yield(nil, err)
		return false
	}
	return true
}
