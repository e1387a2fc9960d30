package client

import (
	"context"
	"iter"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// ReadLogs returns what guests logged, in order of time, message by message. If
// the request follows, it goes on until ctx ends. It ends after an error. If a
// core goes away, a client of several cores continues at the next one.
func (c *Client) ReadLogs(ctx context.Context, req *ruedov1.ReadLogsRequest) iter.Seq2[*ruedov1.ReadLogsResponse, error] {
	return func(yield func(*ruedov1.ReadLogsResponse, error) bool) {
		req := proto.CloneOf(req)
		open := func(ctx context.Context) (*connect.ServerStreamForClient[ruedov1.ReadLogsResponse], error) {
			return c.Logs.ReadLogs(ctx, req)
		}
		read(ctx, c, req.GetFollow(), open, func(res *ruedov1.ReadLogsResponse, err error) bool {
			for _, e := range res.GetEntries() {
				if req.After == nil {
					req.After = make(map[string]*timestamppb.Timestamp)
				}
				req.After[e.GetRunner()] = e.GetTime()
			}
			return yield(res, err)
		})
	}
}
