package store

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/table"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// CordonExpired reports whether a cordon has ended on its own.
func CordonExpired(c *ruedov1.Cordon, now time.Time) bool {
	return c.GetEndTime() != nil && !c.GetEndTime().AsTime().After(now)
}

// ListCordons reads all cordons, by the id of the runner, also those that have
// expired. One that cannot be read has only its runner and version.
func (s *Store) ListCordons(ctx context.Context) (cordons map[string]*ruedov1.Cordon, err error) {
	err = s.cluster.Do(ctx, "read the cordons", func(ctx context.Context) error {
		got, err := s.cluster.Get(ctx, s.space.Prefix(keys.KindCordon), clientv3.WithPrefix())
		if err != nil {
			return err
		}
		cordons = map[string]*ruedov1.Cordon{}
		for _, kv := range got.Kvs {
			k, ok := s.space.Parse(string(kv.Key))
			if !ok {
				continue
			}
			c, err := table.Cordons().Decode(k.Name, kv)
			if err != nil {
				c = &ruedov1.Cordon{Runner: k.Name, Version: kv.ModRevision}
			}
			cordons[k.Name] = c
		}
		return nil
	})
	return cordons, err
}

// PutCordon writes a cordon if the one that is stored has the version seen; zero
// means none. It sets the version of c. It fails with CONFLICT.
func (s *Store) PutCordon(ctx context.Context, c *ruedov1.Cordon, seen int64) error {
	c.Version = 0
	value, err := table.Encode(c)
	if err != nil {
		return err
	}
	c.Version, err = s.commitCordon(ctx, chain.Change{Action: "cordon", Noun: "runner", Name: c.GetRunner(), Summary: c.GetReason(), Before: seen}, func(key string) clientv3.Op { return clientv3.OpPut(key, value) })
	return err
}

// DeleteCordon deletes the cordon of a runner that has the version seen. It
// returns the revision of the store. It fails with CONFLICT.
func (s *Store) DeleteCordon(ctx context.Context, runner string, seen int64) (int64, error) {
	return s.commitCordon(ctx, chain.Change{Action: "uncordon", Noun: "runner", Name: runner, Before: seen}, func(key string) clientv3.Op { return clientv3.OpDelete(key) })
}

func (s *Store) commitCordon(ctx context.Context, what chain.Change, op func(key string) clientv3.Op) (revision int64, err error) {
	runner := what.Name
	key, err := s.space.Key(keys.KindCordon, runner)
	if err != nil {
		return 0, err
	}
	err = s.cluster.Do(ctx, what.Action+" runner "+runner, func(ctx context.Context) error {
		done, err := s.guard.Commit(ctx, what, []clientv3.Cmp{guard.Unchanged(key, what.Before)}, []clientv3.Op{op(key)}, nil)
		if err != nil {
			return err
		}
		if !done.Succeeded {
			return fault.New(fault.Conflict, "somebody else has cordoned or uncordoned runner %s at the same time", runner).
				With("runner", runner).WithFix("look at the runner, then try again")
		}
		revision = done.Header.Revision
		return nil
	})
	return revision, err
}

// ExpireCordon deletes a cordon as the leader, if it has not changed since it was
// read. It reports whether it did. LEADERSHIP_LOST.
func (s *Store) ExpireCordon(ctx context.Context, fence fleet.Fence, c *ruedov1.Cordon) (done bool, err error) {
	key, err := s.space.Key(keys.KindCordon, c.GetRunner())
	if err != nil {
		return false, err
	}
	err = s.cluster.Do(ctx, "remove the cordon of runner "+c.GetRunner(), func(ctx context.Context) error {
		what := chain.Change{Action: "uncordon", Noun: "runner", Name: c.GetRunner(), Summary: "its time is over", Before: c.GetVersion()}
		res, err := s.guard.CommitFenced(ctx, fence, what, []clientv3.Cmp{guard.Unchanged(key, c.GetVersion())}, []clientv3.Op{clientv3.OpDelete(key)}, nil)
		done = err == nil && res.Succeeded
		return err
	})
	return done, err
}
