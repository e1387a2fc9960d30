package audit

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/records"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// batchItems and batchBytes bound one message of a stream.
	batchItems = 200
	batchBytes = 64 << 10
)

// ListAuditRecords sends records. That somebody reads them is recorded.
func (a *Audit) ListAuditRecords(ctx context.Context, req *ruedov1.ListAuditRecordsRequest, stream *connect.ServerStream[ruedov1.ListAuditRecordsResponse]) error {
	return a.list(ctx, req, stream.Send)
}

func (a *Audit) list(ctx context.Context, req *ruedov1.ListAuditRecordsRequest, send func(*ruedov1.ListAuditRecordsResponse) error) error {
	if n := req.GetNewest(); n < 0 || n > maxNewest {
		return fault.New(fault.RequestInvalid, "newest is %d, over the limit of %d", n, maxNewest).WithFix("list all, which is not limited")
	}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	default:
		return fault.New(fault.ServerBusy, "%d others read the audit, the limit of this core", maxStreams).WithFix("try again later")
	}
	a.Seen(ctx, "audit", "")
	ctx, cancel := context.WithTimeout(ctx, maxFollow)
	defer cancel()
	defer context.AfterFunc(a.cfg.Down, cancel)()
	out := &batch{send: send}
	revision, err := a.past(ctx, req, out)
	if err == nil {
		err = out.flush()
	}
	if err != nil || !req.GetFollow() {
		return err
	}
	for rec, err := range a.cfg.Records.Follow(ctx, max(revision, req.GetAfter())) {
		if err != nil {
			return err
		}
		if matches(req, rec) {
			if err := out.add(rec, true); err != nil {
				return err
			}
		}
	}
	if a.cfg.Down.Err() == nil && context.Cause(ctx) == context.Canceled {
		return context.Canceled // the caller's
	}
	return nil
}

// past sends what is in the store, and returns the revision up to which it was.
func (a *Audit) past(ctx context.Context, req *ruedov1.ListAuditRecordsRequest, out *batch) (int64, error) {
	which := records.Range{After: req.GetAfter(), Backward: req.GetNewest() > 0}
	if since := req.GetSince().AsDuration(); since > 0 {
		which.Since = time.Now().Add(-since)
	}
	revision, all, err := a.cfg.Records.List(ctx, which)
	if err != nil {
		return 0, err
	}
	if !which.Backward {
		return revision, each(all, req, func(rec *ruedov1.AuditRecord) error { return out.add(rec, false) })
	}
	newest, err := last(all, req)
	for _, rec := range slices.Backward(newest) {
		if err == nil {
			err = out.add(rec, false)
		}
	}
	return revision, err
}

func each(all iter.Seq2[*ruedov1.AuditRecord, error], req *ruedov1.ListAuditRecordsRequest, do func(*ruedov1.AuditRecord) error) error {
	for rec, err := range all {
		if err == nil && matches(req, rec) {
			err = do(rec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// last returns the newest records that match, of all from the newest on.
func last(all iter.Seq2[*ruedov1.AuditRecord, error], req *ruedov1.ListAuditRecordsRequest) (newest []*ruedov1.AuditRecord, err error) {
	for rec, err := range all {
		if err != nil {
			return nil, err
		}
		if matches(req, rec) {
			newest = append(newest, rec)
		}
		if len(newest) == int(req.GetNewest()) {
			break
		}
	}
	return newest, nil
}

// matches reports whether a record is one that was asked for.
func matches(req *ruedov1.ListAuditRecordsRequest, rec *ruedov1.AuditRecord) bool {
	if req.GetDenied() && rec.GetReason() == "" {
		return false
	}
	if by := req.GetBy(); by != "" && rec.GetPrincipal() != by {
		if _, name, ok := strings.Cut(rec.GetPrincipal(), "/"); !ok || name != by {
			return false
		}
	}
	if on := req.GetOn(); on != "" {
		noun, name, named := strings.Cut(on, "/")
		if rec.GetNoun() != noun || named && rec.GetName() != name {
			return false
		}
	}
	return true
}

// batch collects records until they are worth a message.
type batch struct {
	send  func(*ruedov1.ListAuditRecordsResponse) error
	items []*ruedov1.AuditRecord
	size  int
}

func (b *batch) add(rec *ruedov1.AuditRecord, now bool) error {
	b.items = append(b.items, rec)
	b.size += proto.Size(rec)
	if now || len(b.items) == batchItems || b.size >= batchBytes {
		return b.flush()
	}
	return nil
}

func (b *batch) flush() error {
	if len(b.items) == 0 {
		return nil
	}
	err := b.send(&ruedov1.ListAuditRecordsResponse{Items: b.items})
	b.items, b.size = nil, 0
	return err
}
