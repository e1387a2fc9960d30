package records

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

const (
	// maxTrim bounds the records of one deletion: a transaction that removed very
	// many would hold up the store.
	maxTrim = 1000
	// maxTrims bounds the deletions of one [Records.Trim].
	maxTrims = 100
)

// Keep says which records are kept.
type Keep struct {
	// Since is the time from which on; records that are older go.
	Since time.Time
	// Most is how many; the chains that began first lose the oldest ones of theirs.
	Most uint64
}

// Trim removes, as the leader, records that are not kept, and returns how many. In a
// dry run it only counts. What is removed is recorded, together with the MAC with
// which the rest goes on. LEADERSHIP_LOST.
func (r *Records) Trim(ctx context.Context, fence fleet.Fence, keep Keep, dry bool) (removed uint64, err error) {
	heads, _, err := r.heads(ctx)
	if err != nil {
		return 0, err
	}
	first := make([]uint64, len(heads))
	total := uint64(0)
	for i, h := range heads {
		if first[i], err = r.search(ctx, h, present); err != nil {
			return 0, err
		}
		total += h.seq + 1 - first[i]
	}
	trims := 0
	for i, h := range heads {
		to, err := r.search(ctx, h, func(rec *ruedov1.AuditRecord) bool { return !rec.GetTime().AsTime().Before(keep.Since) })
		if err != nil {
			return removed, err
		}
		if left := total - removed; left > keep.Most {
			to = max(to, min(h.seq+1, first[i]+left-keep.Most))
		}
		for from := first[i]; from < to && trims < maxTrims; trims++ {
			last := min(to-1, from+maxTrim-1)
			if !dry {
				done, err := r.remove(ctx, fence, h, from, last)
				if err != nil {
					return removed, err
				}
				if !done {
					break
				}
			}
			removed += last - from + 1
			from = last + 1
		}
	}
	return removed, nil
}

// remove removes records of a chain, the first ones that are there. With the last
// of them goes the chain itself, unless it has grown since, or is that of this
// process.
func (r *Records) remove(ctx context.Context, fence fleet.Fence, h head, from, to uint64) (done bool, err error) {
	first, err := r.space.AuditRecord(h.name, from)
	if err != nil {
		return false, err
	}
	end, err := r.space.AuditRecord(h.name, to)
	if err != nil {
		return false, err
	}
	kvs, err := r.page(ctx, h.name, to, to)
	if err != nil || len(kvs) == 0 {
		return false, err
	}
	then := []clientv3.Op{clientv3.OpDelete(first, clientv3.WithRange(end+"\x00"))}
	var when []clientv3.Cmp
	if to == h.seq && h.name != r.chain.Name() {
		key, err := r.space.Key(keys.KindAuditChain, h.name)
		if err != nil {
			return false, err
		}
		when, then = append(when, guard.Unchanged(key, h.last)), append(then, clientv3.OpDelete(key))
	}
	what := chain.Change{Action: actionTrim, Noun: "audit", Name: h.name, Summary: trimmed{to, chain.MAC(kvs[0].Value)}.String()}
	err = r.cluster.Do(ctx, "remove old records of the audit", func(ctx context.Context) error {
		res, err := r.guard.CommitFenced(ctx, fence, what, when, then, nil)
		done = err == nil && res.Succeeded
		return err
	})
	return done, err
}

const actionTrim = "trim"

// trimmed is what was removed of a chain: all records up to one, and its MAC.
type trimmed struct {
	seq uint64
	mac []byte
}

func (t trimmed) String() string { return fmt.Sprintf("up to record %d, %x", t.seq, t.mac) }
