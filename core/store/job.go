package store

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/table"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// JobRecords reads what leaders keep of their jobs, by name, and the store's
// revision. A record that cannot be read is left out: the job writes it again.
func (s *Store) JobRecords(ctx context.Context) (records map[string]*storev1.JobRecord, revision int64, err error) {
	err = s.cluster.Do(ctx, "read the jobs", func(ctx context.Context) error {
		got, err := s.cluster.Get(ctx, s.space.Prefix(keys.KindJob), clientv3.WithPrefix())
		if err != nil {
			return err
		}
		records, revision = map[string]*storev1.JobRecord{}, got.Header.Revision
		for _, kv := range got.Kvs {
			r := &storev1.JobRecord{}
			if k, ok := s.space.Parse(string(kv.Key)); ok && proto.Unmarshal(kv.Value, r) == nil {
				records[k.Name] = r
			}
		}
		return nil
	})
	return records, revision, err
}

// PutJobRecord writes what the leader keeps of a job. LEADERSHIP_LOST.
func (s *Store) PutJobRecord(ctx context.Context, fence fleet.Fence, name string, r *storev1.JobRecord) error {
	key, err := s.space.Key(keys.KindJob, name)
	if err != nil {
		return err
	}
	value, err := table.Encode(r)
	if err != nil {
		return err
	}
	return s.cluster.Do(ctx, "write job "+name, func(ctx context.Context) error {
		_, err := s.guard.CommitFenced(ctx, fence, chain.Unrecorded{}, nil, []clientv3.Op{clientv3.OpPut(key, value)}, nil)
		return err
	})
}
