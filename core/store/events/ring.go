// Package events keeps the events of a cluster in the store: a ring of the last
// [Max]. Who records them, and how often, is another room's.
package events

import (
	"cmp"
	"context"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

const (
	// Max is how many events the store keeps. While several cores write at the
	// same time there can be a few more.
	Max = 1000
	// MaxBytes bounds one event as it is stored.
	MaxBytes = 1 << 10
	// MaxPut bounds the events of one Put.
	MaxPut = 32
	// maxTrim bounds the events that one Put removes. It is more than it adds.
	maxTrim = 2 * MaxPut
)

// Ring is the events of one cluster. Its methods can be called from many
// goroutines.
type Ring struct {
	cluster *fleet.Cluster
	guard   *guard.Guard
}

// New returns the events of a cluster.
func New(cluster *fleet.Cluster, g *guard.Guard) *Ring { return &Ring{cluster, g} }

// Put writes at most [MaxPut] events, new ones and new versions of old ones, and
// removes the oldest beyond [Max]. Errors: those of every write to the store;
// INTERNAL for an event that is larger than [MaxBytes].
func (r *Ring) Put(ctx context.Context, events []*ruedov1.Event) error {
	var puts []clientv3.Op
	for _, e := range events {
		key, err := r.cluster.Space().Key(keys.KindEvent, e.GetId())
		if err != nil {
			return err
		}
		value, err := proto.Marshal(e)
		if err != nil {
			return fault.Wrap(err, fault.Internal, "an event cannot be encoded")
		}
		if len(value) > MaxBytes {
			return fault.New(fault.Internal, "an event of %d bytes is over the limit of %d", len(value), MaxBytes)
		}
		puts = append(puts, clientv3.OpPut(key, string(value)))
	}
	return r.cluster.Do(ctx, "record events", func(ctx context.Context) error {
		if _, err := r.guard.Commit(ctx, chain.Unrecorded{}, nil, puts, nil); err != nil {
			return err
		}
		return r.trim(ctx)
	})
}

// trim removes the oldest events beyond Max. The order is that of the store,
// which no clock can confuse.
func (r *Ring) trim(ctx context.Context) error {
	prefix := r.cluster.Space().Prefix(keys.KindEvent)
	got, err := r.cluster.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || got.Count <= Max {
		return err
	}
	got, err = r.cluster.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend), clientv3.WithLimit(min(got.Count-Max, maxTrim)))
	if err != nil {
		return err
	}
	var deletes []clientv3.Op
	for _, kv := range got.Kvs {
		deletes = append(deletes, clientv3.OpDelete(string(kv.Key)))
	}
	_, err = r.guard.Commit(ctx, chain.Unrecorded{}, nil, deletes, nil)
	return err
}

// List returns the events that changed after a version, all for 0, in the order
// of their changes, and the version of the store. It needs no quorum: the member
// that answers can be a moment behind.
func (r *Ring) List(ctx context.Context, after int64) (events []*ruedov1.Event, version int64, err error) {
	space := r.cluster.Space()
	err = r.cluster.Do(ctx, "read the events", func(ctx context.Context) error {
		got, err := r.cluster.Get(ctx, space.Prefix(keys.KindEvent), clientv3.WithPrefix(), clientv3.WithSerializable(), clientv3.WithMinModRev(after+1))
		if err != nil {
			return err
		}
		events, version = nil, got.Header.Revision
		for _, kv := range got.Kvs {
			e := &ruedov1.Event{}
			if k, ok := space.Parse(string(kv.Key)); ok && proto.Unmarshal(kv.Value, e) == nil {
				e.Id, e.Version = k.Name, kv.ModRevision
				events = append(events, e)
			}
		}
		return nil
	})
	slices.SortStableFunc(events, func(a, b *ruedov1.Event) int {
		return cmp.Or(cmp.Compare(a.GetVersion(), b.GetVersion()), a.GetTime().AsTime().Compare(b.GetTime().AsTime()))
	})
	return events, version, err
}
