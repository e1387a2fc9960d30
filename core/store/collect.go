package store

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/modules"
	"github.com/ruedo-dev/ruedo/core/store/table"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// MaxDelete bounds the revisions of one [Store.DeleteRevisions].
const MaxDelete = 64

// ServicesSince returns the services that were written after a revision of the
// store, all for 0, and the revision as of which they were read. One that cannot
// be read has a name, a version and no revision.
func (s *Store) ServicesSince(ctx context.Context, since int64) (services []*ruedov1.Service, revision int64, err error) {
	err = s.cluster.Do(ctx, "read the services", func(ctx context.Context) error {
		got, err := s.cluster.Get(ctx, s.space.Prefix(keys.KindService), clientv3.WithPrefix(), clientv3.WithMinModRev(since+1))
		if err != nil {
			return err
		}
		services, revision = nil, got.Header.Revision
		for _, kv := range got.Kvs {
			k, ok := s.space.Parse(string(kv.Key))
			if !ok {
				continue
			}
			svc, err := table.Services().Decode(k.Name, kv)
			if err != nil {
				svc = &ruedov1.Service{Name: k.Name, Version: kv.ModRevision}
			}
			services = append(services, svc)
		}
		return nil
	})
	return services, revision, err
}

// DeleteRevisions deletes at most [MaxDelete] revisions of a service that are
// not live, if the service has not changed since it was read. It reports whether
// it did. LEADERSHIP_LOST.
func (s *Store) DeleteRevisions(ctx context.Context, fence fleet.Fence, svc *ruedov1.Service, numbers []uint64) (done bool, err error) {
	name := svc.GetName()
	key, err := s.space.Service(name)
	if err != nil {
		return false, err
	}
	if len(numbers) == 0 {
		return true, nil
	}
	var then []clientv3.Op
	for _, n := range numbers {
		if n == svc.GetRevision().GetNumber() {
			return false, fault.New(fault.Internal, "revision %d of service %s is live", n, name)
		}
		revision, err := s.space.Revision(name, n)
		if err != nil {
			return false, err
		}
		then = append(then, clientv3.OpDelete(revision))
	}
	err = s.cluster.Do(ctx, "delete revisions of service "+name, func(ctx context.Context) error {
		what := chain.Change{Action: "delete", Noun: "service", Name: name, Summary: fmt.Sprintf("%s from %d to %d", text.Count(len(numbers), "revision"), slices.Min(numbers), slices.Max(numbers)), Before: svc.GetVersion()}
		res, err := s.guard.CommitFenced(ctx, fence, what, []clientv3.Cmp{guard.Unchanged(key, svc.GetVersion())}, then, nil)
		done = err == nil && res.Succeeded
		return err
	})
	return done, err
}

// DeleteModules deletes at most [modules.MaxDelete] modules that no service uses,
// as [modules.Modules.Delete] does, unless a service was written after a
// revision of the store: every publish writes its service.
func (s *Store) DeleteModules(ctx context.Context, fence fleet.Fence, unused []modules.Stored, since int64) (done bool, err error) {
	return s.Modules.Delete(ctx, fence, unused, guard.AllUnchanged(s.space.Prefix(keys.KindService), since))
}
