package store

import (
	"context"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/table"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/text"
)

const (
	// deleteTries bounds how often publishes can make a deletion start over.
	deleteTries = 8
	// namedUsers bounds how many services an error names.
	namedUsers = 5
)

// Decorator reads a decorator. DECORATOR_NOT_FOUND suggests the nearest name.
func (s *Store) Decorator(ctx context.Context, name string) (*ruedov1.Decorator, error) {
	return get(ctx, s, table.Decorators(), name)
}

// CreateDecorator writes a new decorator as revision 1, and returns it with its
// times and its version. It fails with ALREADY_EXISTS if the name is taken.
func (s *Store) CreateDecorator(ctx context.Context, d *ruedov1.Decorator) (*ruedov1.Decorator, error) {
	return s.write(ctx, "create", Change{Decorator: d, New: true})
}

// UpdateDecorator makes a change of a stored decorator and returns the result.
// CONFLICT if the decorator has changed since it was read, or a service since
// the carriers were read ([ErrCarriersChanged]); DECORATOR_NOT_FOUND.
func (s *Store) UpdateDecorator(ctx context.Context, c Change) (*ruedov1.Decorator, error) {
	return s.write(ctx, "update", c)
}

func (s *Store) write(ctx context.Context, doing string, c Change) (next *ruedov1.Decorator, err error) {
	err = s.cluster.Do(ctx, doing+" decorator "+c.Decorator.GetName(), func(ctx context.Context) error {
		w, err := s.draft(ctx, c)
		if err != nil {
			return err
		}
		done, err := s.guard.Commit(ctx, w.entry(), append(w.when, s.carriersUnchanged(c.Carriers)...), w.then, w.look)
		switch {
		case err != nil:
			return err
		case !done.Succeeded:
			return w.refusal(ctx, s, done.Responses[0])
		}
		next = w.next
		next.Version = done.Header.Revision
		return nil
	})
	return next, err
}

// Carriers returns the services whose live revision uses one of the decorators,
// and the store's revision as of which they do. For an unreadable service, its
// last value in memory counts.
func (s *Store) Carriers(ctx context.Context, decorators ...string) (services []*ruedov1.Service, revision int64, err error) {
	return s.services(ctx, carrying(decorators))
}

// Routed returns the services whose live revision has routes, as Carriers does.
func (s *Store) Routed(ctx context.Context) (services []*ruedov1.Service, revision int64, err error) {
	return s.services(ctx, func(r *ruedov1.Revision) bool { return len(r.GetRoutes()) > 0 })
}

func (s *Store) services(ctx context.Context, match func(*ruedov1.Revision) bool) (services []*ruedov1.Service, revision int64, err error) {
	err = s.cluster.Do(ctx, "read the services", func(ctx context.Context) error {
		got, err := s.cluster.Get(ctx, s.space.Prefix(keys.KindService), clientv3.WithPrefix())
		if err == nil {
			services, revision = s.matching(got.Kvs, match), got.Header.Revision
		}
		return err
	})
	return services, revision, err
}

func carrying(decorators []string) func(*ruedov1.Revision) bool {
	return func(r *ruedov1.Revision) bool {
		return slices.ContainsFunc(r.GetDecorators(), func(d string) bool { return slices.Contains(decorators, d) })
	}
}

// carriersUnchanged is the condition that no service has changed since a
// revision of the store; zero means no condition.
func (s *Store) carriersUnchanged(revision int64) []clientv3.Cmp {
	if revision == 0 {
		return nil
	}
	return []clientv3.Cmp{guard.AllUnchanged(s.space.Prefix(keys.KindService), revision)}
}

// DeleteDecorator removes a decorator and returns the store's revision of the
// deletion. It fails with DECORATOR_NOT_FOUND, or with DECORATOR_IN_USE, which
// names the services whose live revision uses it. No service can be published
// with it meanwhile.
func (s *Store) DeleteDecorator(ctx context.Context, name string) (int64, error) {
	key, err := s.space.Decorator(name)
	if err != nil {
		return 0, err
	}
	var version int64
	err = s.cluster.Do(ctx, "delete decorator "+name, func(ctx context.Context) error {
		for range deleteTries {
			if version, err = s.deleteUnused(ctx, name, key); err != nil || version != 0 {
				return err
			}
		}
		return fault.New(fault.Conflict, "decorator %s was not deleted, because services kept being published meanwhile", name).WithFix("try again")
	})
	return version, err
}

// deleteUnused looks through the services, then deletes in a transaction that
// succeeds only if none of them has changed since. Zero means that one has.
func (s *Store) deleteUnused(ctx context.Context, name, key string) (int64, error) {
	got, err := s.cluster.Get(ctx, s.space.Prefix(keys.KindService), clientv3.WithPrefix())
	if err != nil {
		return 0, err
	}
	if users := s.matching(got.Kvs, carrying([]string{name})); len(users) > 0 {
		return 0, inUse(ctx, name, users)
	}
	history, err := s.space.DecoratorRevisions(name)
	if err != nil {
		return 0, err
	}
	done, err := s.guard.Commit(ctx, chain.Change{Action: "delete", Noun: "decorator", Name: name},
		append(s.carriersUnchanged(got.Header.Revision), guard.Exists(key)),
		[]clientv3.Op{clientv3.OpDelete(key), clientv3.OpDelete(history, clientv3.WithPrefix())},
		[]clientv3.Op{clientv3.OpGet(key, clientv3.WithCountOnly())})
	switch {
	case err != nil:
		return 0, err
	case done.Succeeded:
		return done.Header.Revision, nil
	case done.Responses[0].GetResponseRange().GetCount() == 0:
		return 0, missing(ctx, s, table.Decorators(), name)
	}
	return 0, nil
}

// matching returns the services whose live revision matches. For an unreadable
// service, its last value in memory counts. Without one, the service has no say: it
// cannot be called, and the publish that repairs it checks everything again.
func (s *Store) matching(kvs []*mvccpb.KeyValue, match func(*ruedov1.Revision) bool) []*ruedov1.Service {
	var services []*ruedov1.Service
	for _, kv := range kvs {
		k, ok := s.space.Parse(string(kv.Key))
		if !ok {
			continue
		}
		svc, err := table.Services().Decode(k.Name, kv)
		if m := s.memory.Load(); err != nil && m != nil {
			svc = (*m).Service(k.Name)
		}
		if match(svc.GetRevision()) {
			services = append(services, svc)
		}
	}
	return services
}

// inUse returns the error for a decorator that services carry. It names those that the
// request of a context may read.
func inUse(ctx context.Context, name string, users []*ruedov1.Service) error {
	may := access.Visible(ctx, access.Service)
	var named []string
	for _, svc := range users {
		if len(named) < namedUsers && may(svc.GetName()) {
			named = append(named, svc.GetName())
		}
	}
	if len(named) == 0 {
		return fault.New(fault.DecoratorInUse, "decorator %s is carried by %s that you may not see", name, text.Count(len(users), "service")).
			WithFix("ask whoever publishes them to do without it")
	}
	return fault.New(fault.DecoratorInUse, "decorator %s is carried by %s: %s", name, text.Count(len(users), "service"), text.List(named, len(users))).
		WithFix("publish %s without it, or delete it, then delete the decorator", named[0]).
		With("services", strings.Join(named, " "))
}
