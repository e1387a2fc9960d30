package store

import (
	"context"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
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
	return get(ctx, s, Decorators(), name)
}

// CreateDecorator writes a new decorator and returns it with its times and its
// version. It fails with ALREADY_EXISTS if the name is taken.
func (s *Store) CreateDecorator(ctx context.Context, d *ruedov1.Decorator) (*ruedov1.Decorator, error) {
	now := timestamppb.Now()
	next, value, err := decoratorValue(d, now, now)
	if err != nil {
		return nil, err
	}
	if next.Version, err = create(ctx, s, Decorators(), d.GetName(), value); err != nil {
		return nil, err
	}
	return next, nil
}

// UpdateDecorator replaces a decorator and returns it with its times and its
// version. seen is the version that the caller has read; zero means whatever is
// stored now. CONFLICT if it has changed since; DECORATOR_NOT_FOUND.
func (s *Store) UpdateDecorator(ctx context.Context, d *ruedov1.Decorator, seen int64) (next *ruedov1.Decorator, err error) {
	version, err := update(ctx, s, Decorators(), d.GetName(), seen, func(stored []byte) (value string, err error) {
		was := &ruedov1.Decorator{}
		_ = proto.Unmarshal(stored, was) // an unreadable value is fine: this update replaces it
		next, value, err = decoratorValue(d, was.GetCreateTime(), timestamppb.Now())
		return value, err
	})
	if err != nil {
		return nil, err
	}
	next.Version = version
	return next, nil
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
	users := s.users(got.Kvs, name)
	if len(users) > 0 {
		return 0, inUse(name, users)
	}
	same := clientv3.Compare(clientv3.ModRevision(s.space.Prefix(keys.KindService)).WithPrefix(), "<", got.Header.Revision+1)
	done, err := s.guard.commit(ctx,
		[]clientv3.Cmp{same, exists(key)},
		[]clientv3.Op{clientv3.OpDelete(key)},
		[]clientv3.Op{clientv3.OpGet(key, clientv3.WithCountOnly())})
	switch {
	case err != nil:
		return 0, err
	case done.Succeeded:
		return done.Header.Revision, nil
	case done.Responses[0].GetResponseRange().GetCount() == 0:
		return 0, missing(s, Decorators(), name)
	}
	return 0, nil
}

// users returns the services whose live revision uses a decorator. For an
// unreadable service, its last value in memory counts. Without one, the service
// does not prevent the deletion: it cannot be called, and the publish that
// repairs it checks its decorators again.
func (s *Store) users(kvs []*mvccpb.KeyValue, decorator string) []string {
	var users []string
	for _, kv := range kvs {
		k, ok := s.space.Parse(string(kv.Key))
		if !ok {
			continue
		}
		svc, err := Services().Decode(k.Name, kv)
		if m := s.memory.Load(); err != nil && m != nil {
			svc = (*m).Service(k.Name)
		}
		if slices.Contains(svc.GetRevision().GetDecorators(), decorator) {
			users = append(users, k.Name)
		}
	}
	return users
}

func inUse(name string, users []string) error {
	named := users[:min(len(users), namedUsers)]
	return fault.New(fault.DecoratorInUse, "decorator %s is carried by %s: %s", name, text.Count(len(users), "service"), text.List(named, len(users))).
		WithFix("publish %s without it, or delete it, then delete the decorator", users[0]).
		With("services", strings.Join(named, " "))
}

// decoratorValue returns a decorator with its times, and the value to store for
// it.
func decoratorValue(d *ruedov1.Decorator, created, updated *timestamppb.Timestamp) (next *ruedov1.Decorator, value string, err error) {
	next = proto.CloneOf(d)
	next.Version, next.CreateTime, next.UpdateTime = 0, created, updated
	if value, err = encode(next); err != nil {
		return nil, "", err
	}
	if len(value) > maxWrite {
		return nil, "", fault.New(fault.RequestInvalid, "decorator %s takes %d bytes in the store, over the limit of %d", d.GetName(), len(value), maxWrite).
			WithFix("shorten its schema")
	}
	return next, value, nil
}
