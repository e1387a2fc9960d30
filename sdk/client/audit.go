package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// ReadAudit returns records of the audit in the order of the store. If the request
// follows, it goes on until ctx ends. It ends after an error. If a core goes away, a
// client of several cores continues at the next one.
func (c *Client) ReadAudit(ctx context.Context, req *ruedov1.ListAuditRecordsRequest) iter.Seq2[[]*ruedov1.AuditRecord, error] {
	return func(yield func([]*ruedov1.AuditRecord, error) bool) {
		req := proto.CloneOf(req)
		attempts := c.reading()
		for {
			began := time.Now()
			got, more, err := c.readAudit(ctx, req, yield)
			if got {
				attempts = c.reading()
				req.Newest, req.Since = 0, nil // of what there was at first
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

// readAudit reads one stream, and notes in the request how far it came. It reports
// whether it received anything, and whether more is wanted.
func (c *Client) readAudit(ctx context.Context, req *ruedov1.ListAuditRecordsRequest, yield func([]*ruedov1.AuditRecord, error) bool) (got, more bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Audit.ListAuditRecords(ctx, req)
	if err != nil {
		return false, true, err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		items := stream.Msg().GetItems()
		for _, r := range items {
			req.After = max(req.After, r.GetVersion())
		}
		if got = got || len(items) > 0; !yield(items, nil) {
			return got, false, nil
		}
	}
	return got, true, stream.Err()
}
