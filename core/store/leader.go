package store

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/table"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// OrderHandover orders the leader of a term to resign. It fails with CONFLICT if
// that term is over.
func (s *Store) OrderHandover(ctx context.Context, h *storev1.Handover) error {
	value, err := table.Encode(h)
	if err != nil {
		return err
	}
	return s.cluster.Do(ctx, "order the leader to resign", func(ctx context.Context) error {
		done, err := s.guard.Commit(ctx, chain.Change{Action: "handover", Noun: "core", Name: h.GetFrom(), Summary: "to " + h.GetTo(), Before: h.GetTerm()},
			[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(s.space.Leader()), "=", h.GetTerm())},
			[]clientv3.Op{clientv3.OpPut(s.space.Handover(), value)}, nil)
		if err == nil && !done.Succeeded {
			return fault.New(fault.Conflict, "core %s stopped leading meanwhile", h.GetFrom()).WithFix("see which core leads, then try again")
		}
		return err
	})
}
