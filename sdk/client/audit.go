package client

import (
	"context"
	"iter"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// ReadAudit returns records of the audit in the order of the store. If the request
// follows, it goes on until ctx ends. It ends after an error. If a core goes away, a
// client of several cores continues at the next one.
func (c *Client) ReadAudit(ctx context.Context, req *ruedov1.ListAuditRecordsRequest) iter.Seq2[[]*ruedov1.AuditRecord, error] {
	return func(yield func([]*ruedov1.AuditRecord, error) bool) {
		req := proto.CloneOf(req)
		open := func(ctx context.Context) (*connect.ServerStreamForClient[ruedov1.ListAuditRecordsResponse], error) {
			return c.Audit.ListAuditRecords(ctx, req)
		}
		read(ctx, c, req.GetFollow(), open, func(res *ruedov1.ListAuditRecordsResponse, err error) bool {
			for _, r := range res.GetItems() {
				req.After = max(req.After, r.GetVersion())
				req.Newest, req.Since = 0, nil // of what there was at first
			}
			return yield(res.GetItems(), err)
		})
	}
}
