// Package records reads the audit, and removes what is old. Package chain writes it.
//
// Records are read chain by chain, in pages, and merged in the order of the store.
// How many are in memory does not depend on how many there are.
package records

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

const (
	// pageItems bounds a page of records, and headItems one of chains. A record has
	// at most 2 KiB, most have a tenth of that.
	pageItems = 200
	headItems = 500
)

// Config configures Records. All fields are required.
type Config struct {
	Cluster *fleet.Cluster
	Guard   *guard.Guard
	Chain   *chain.Chain
}

// Records is the audit of a cluster. Its methods can be called from many goroutines.
type Records struct {
	cluster *fleet.Cluster
	guard   *guard.Guard
	chain   *chain.Chain
	space   keys.Space
}

// New returns the audit of a cluster.
func New(cfg Config) *Records {
	return &Records{cluster: cfg.Cluster, guard: cfg.Guard, chain: cfg.Chain, space: cfg.Cluster.Space()}
}

// head is what is known of a chain without its records.
type head struct {
	name string
	// first and last are the revisions of the store with which its first and last
	// record were written.
	first, last int64
	// seq is the place of the last record.
	seq   uint64
	value []byte // of the last record
	time  time.Time
}

// heads reads the heads of all chains, in the order in which they began, and the
// revision of the store as of which they are so. One that cannot be read has no
// place.
func (r *Records) heads(ctx context.Context) (all []head, revision int64, err error) {
	prefix := r.space.Prefix(keys.KindAuditChain)
	end, from := clientv3.GetPrefixRangeEnd(prefix), prefix
	for more := true; more; {
		err := r.cluster.Do(ctx, "read the chains of the audit", func(ctx context.Context) error {
			got, err := r.cluster.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(headItems), clientv3.WithRev(revision))
			if err != nil {
				return err
			}
			revision, more = cmp.Or(revision, got.Header.Revision), got.More
			for _, kv := range got.Kvs {
				from = string(kv.Key) + "\x00"
				k, ok := r.space.Parse(string(kv.Key))
				if !ok {
					continue
				}
				h := head{name: k.Name, first: kv.CreateRevision, last: kv.ModRevision, value: kv.Value}
				if last, err := chain.Decode(kv); err == nil {
					h.seq, h.time = last.GetSeq(), last.GetTime().AsTime()
				}
				all = append(all, h)
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	slices.SortFunc(all, func(a, b head) int { return cmp.Compare(a.first, b.first) })
	return all, revision, nil
}

// page reads records of a chain, from one place to another, both included, at most
// a page of them.
func (r *Records) page(ctx context.Context, name string, from, to uint64) (kvs []*mvccpb.KeyValue, err error) {
	first, err := r.space.AuditRecord(name, from)
	if err != nil {
		return nil, err
	}
	last, err := r.space.AuditRecord(name, min(to, from+pageItems-1))
	if err != nil {
		return nil, err
	}
	err = r.cluster.Do(ctx, "read the audit", func(ctx context.Context) error {
		got, err := r.cluster.Get(ctx, first, clientv3.WithRange(last+"\x00"))
		if err == nil {
			kvs = got.Kvs
		}
		return err
	})
	return kvs, err
}

// search returns the place of the first record of a chain that is there and meets a
// condition, as all that come after it do; that after the last if none does.
func (r *Records) search(ctx context.Context, h head, meets func(*ruedov1.AuditRecord) bool) (uint64, error) {
	is := func(at uint64) (bool, error) {
		kvs, err := r.page(ctx, h.name, at, at)
		if err != nil || len(kvs) == 0 {
			return false, err
		}
		rec, err := chain.Decode(kvs[0])
		return err == nil && meets(rec), nil
	}
	lo, hi := uint64(1), h.seq+1
	if ok, err := is(lo); err != nil || ok {
		return lo, err
	}
	for lo++; lo < hi; {
		at := lo + (hi-lo)/2
		switch ok, err := is(at); {
		case err != nil:
			return 0, err
		case ok:
			hi = at
		default:
			lo = at + 1
		}
	}
	return min(lo, h.seq+1), nil
}

// present is the condition of search that every record meets.
func present(*ruedov1.AuditRecord) bool { return true }

// Write writes what is not a change, at most [chain.MaxNotes] notes.
func (r *Records) Write(ctx context.Context, notes chain.Notes) error {
	return r.cluster.Do(ctx, "write the audit", func(ctx context.Context) error {
		_, err := r.guard.Commit(ctx, notes, nil, nil, nil)
		return err
	})
}
