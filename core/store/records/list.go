package records

import (
	"context"
	"iter"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Range says which records to list.
type Range struct {
	// After is a revision of the store; zero means all.
	After int64
	// Since leaves out what is older; zero means nothing is.
	Since time.Time
	// Backward lists the newest first.
	Backward bool
}

// List yields the records of a range in the order of the store, up to the revision
// that it returns. It ends after an error. Records that cannot be read are left out.
func (r *Records) List(ctx context.Context, which Range) (revision int64, records iter.Seq2[*ruedov1.AuditRecord, error], err error) {
	heads, revision, err := r.heads(ctx)
	if err != nil {
		return 0, nil, err
	}
	heads = slices.DeleteFunc(heads, func(h head) bool { return h.last <= which.After || h.time.Before(which.Since) && h.seq > 0 })
	return revision, r.merge(ctx, heads, which), nil
}

// cursor is a place in a chain.
type cursor struct {
	head
	lo, hi uint64 // what has not been read
	page   []*ruedov1.AuditRecord
}

// merge merges chains. Only those that are written at the same time are in memory
// together.
func (r *Records) merge(ctx context.Context, heads []head, which Range) iter.Seq2[*ruedov1.AuditRecord, error] {
	begin := func(h head) int64 { return h.first }
	before := func(a, b int64) bool { return a < b }
	if which.Backward {
		begin = func(h head) int64 { return h.last }
		before = func(a, b int64) bool { return a > b }
		slices.SortFunc(heads, func(a, b head) int { return int(max(-1, min(1, b.last-a.last))) })
	}
	return func(yield func(*ruedov1.AuditRecord, error) bool) {
		var open []*cursor
		for {
			// The next record is that of an open chain, unless one that is not open
			// could begin before it.
			at := next(open, before)
			if len(heads) > 0 && (at < 0 || !before(open[at].page[0].GetVersion(), begin(heads[0]))) {
				c, err := r.open(ctx, heads[0], which)
				heads = heads[1:]
				if err != nil {
					yield(nil, err)
					return
				}
				if len(c.page) > 0 {
					open = append(open, c)
				}
				continue
			}
			if at < 0 {
				return
			}
			c := open[at]
			rec := c.page[0]
			c.page = c.page[1:]
			if !yield(rec, nil) {
				return
			}
			if err := r.fill(ctx, c, which.Backward); err != nil {
				yield(nil, err)
				return
			}
			if len(c.page) == 0 {
				open = slices.Delete(open, at, at+1)
			}
		}
	}
}

// next returns the index of the cursor with the record that comes first; -1 if there
// is none.
func next(open []*cursor, before func(a, b int64) bool) int {
	at := -1
	for i, c := range open {
		if at < 0 || before(c.page[0].GetVersion(), open[at].page[0].GetVersion()) {
			at = i
		}
	}
	return at
}

// open returns a cursor at the first record of a chain that is of a range, or behind
// the last.
func (r *Records) open(ctx context.Context, h head, which Range) (*cursor, error) {
	lo, err := r.search(ctx, h, func(rec *ruedov1.AuditRecord) bool {
		return rec.GetVersion() > which.After && !rec.GetTime().AsTime().Before(which.Since)
	})
	if err != nil {
		return nil, err
	}
	c := &cursor{head: h, lo: lo, hi: h.seq}
	return c, r.fill(ctx, c, which.Backward)
}

// fill reads the next page of a cursor that has none.
func (r *Records) fill(ctx context.Context, c *cursor, backward bool) error {
	for len(c.page) == 0 && c.lo <= c.hi {
		from, to := c.lo, min(c.hi, c.lo+pageItems-1)
		if backward {
			from, to = max(c.lo, c.hi-min(c.hi, pageItems-1)), c.hi
		}
		kvs, err := r.page(ctx, c.name, from, to)
		if err != nil {
			return err
		}
		for _, kv := range kvs {
			if rec, err := chain.Decode(kv); err == nil {
				c.page = append(c.page, rec)
			}
		}
		if backward {
			slices.Reverse(c.page)
			c.hi = from - 1
		} else {
			c.lo = to + 1
		}
	}
	return nil
}

// Follow yields the records that are written after a revision of the store, until
// ctx ends; then it ends without an error. It ends after an error: CONFLICT if the
// store was compacted meanwhile, so that a list has to come first; STORE_UNAVAILABLE.
func (r *Records) Follow(ctx context.Context, after int64) iter.Seq2[*ruedov1.AuditRecord, error] {
	return func(yield func(*ruedov1.AuditRecord, error) bool) {
		ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
		defer cancel()
		for res := range r.cluster.Watch(ctx, r.space.Audit(), clientv3.WithPrefix(), clientv3.WithRev(after+1), clientv3.WithFilterDelete()) {
			switch {
			case ctx.Err() != nil:
				return
			case res.CompactRevision != 0:
				yield(nil, fault.New(fault.Conflict, "the store was compacted meanwhile").WithFix("list the records, then follow"))
				return
			case res.Err() != nil:
				yield(nil, fault.Wrap(res.Err(), fault.StoreUnavailable, "the store stopped reporting the audit").WithFix("try again"))
				return
			}
			for _, e := range res.Events {
				if rec, err := chain.Decode(e.Kv); err == nil && !yield(rec, nil) {
					return
				}
			}
		}
		if ctx.Err() == nil {
			yield(nil, fault.New(fault.StoreUnavailable, "the store stopped reporting the audit").WithFix("try again"))
		}
	}
}
