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
)

const (
	// deleteTries bounds how often a deletion is begun anew because services
	// were published meanwhile.
	deleteTries = 8
	// namedUsers bounds how many services an error names.
	namedUsers = 5
)

// Decorator reads a decorator. DECORATOR_NOT_FOUND suggests the nearest name.
func (s *Store) Decorator(ctx context.Context, name string) (*ruedov1.Decorator, error) {
	key, err := s.space.Decorator(name)
	if err != nil {
		return nil, err
	}
	var d *ruedov1.Decorator
	err = s.do(ctx, "read decorator "+name, func(ctx context.Context) error {
		got, err := s.client.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(got.Kvs) == 0 {
			return s.decoratorNotFound(name)
		}
		d, err = decodeDecorator(name, got.Kvs[0])
		return err
	})
	return d, err
}

// CreateDecorator writes a new decorator and gives it with its times and its
// version. ALREADY_EXISTS.
func (s *Store) CreateDecorator(ctx context.Context, d *ruedov1.Decorator) (*ruedov1.Decorator, error) {
	now := timestamppb.Now()
	next, key, value, err := s.decorator(d, now, now)
	if err != nil {
		return nil, err
	}
	err = s.do(ctx, "create decorator "+d.GetName(), func(ctx context.Context) error {
		done, err := s.commit(ctx, []clientv3.Cmp{version(key, 0)}, []clientv3.Op{clientv3.OpPut(key, value)}, nil)
		if err != nil {
			return err
		}
		if !done.Succeeded {
			return fault.New(fault.AlreadyExists, "there is a decorator %s already", d.GetName()).
				With("decorator", d.GetName()).WithFix("change it, or choose another name")
		}
		next.Version = done.Header.Revision
		return nil
	})
	if err != nil {
		return nil, err
	}
	return next, nil
}

// UpdateDecorator replaces a decorator and gives it with its times and its
// version. seen is the version that the caller has read; zero means whatever is
// stored now. CONFLICT where it has changed since, DECORATOR_NOT_FOUND.
func (s *Store) UpdateDecorator(ctx context.Context, d *ruedov1.Decorator, seen int64) (*ruedov1.Decorator, error) {
	name := d.GetName()
	key, err := s.space.Decorator(name)
	if err != nil {
		return nil, err
	}
	var next *ruedov1.Decorator
	err = s.do(ctx, "update decorator "+name, func(ctx context.Context) error {
		got, err := s.client.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(got.Kvs) == 0 {
			return s.decoratorNotFound(name)
		}
		now := got.Kvs[0].ModRevision
		if seen != 0 && seen != now {
			return decoratorChanged(name, seen)
		}
		was := &ruedov1.Decorator{}
		_ = proto.Unmarshal(got.Kvs[0].Value, was) // unreadable is what an update mends
		var value string
		if next, _, value, err = s.decorator(d, was.GetCreateTime(), timestamppb.Now()); err != nil {
			return err
		}
		done, err := s.commit(ctx, []clientv3.Cmp{version(key, now)}, []clientv3.Op{clientv3.OpPut(key, value)}, nil)
		if err != nil {
			return err
		}
		if !done.Succeeded {
			return decoratorChanged(name, now)
		}
		next.Version = done.Header.Revision
		return nil
	})
	if err != nil {
		return nil, err
	}
	return next, nil
}

// DeleteDecorator removes a decorator and gives the store's revision of that.
// DECORATOR_IN_USE names the services whose live revision carries it; no
// service can be published with it meanwhile. DECORATOR_NOT_FOUND.
func (s *Store) DeleteDecorator(ctx context.Context, name string) (int64, error) {
	key, err := s.space.Decorator(name)
	if err != nil {
		return 0, err
	}
	var version int64
	err = s.do(ctx, "delete decorator "+name, func(ctx context.Context) error {
		for range deleteTries {
			if version, err = s.deleteUnused(ctx, name, key); err != nil || version != 0 {
				return err
			}
		}
		return fault.New(fault.Conflict, "services are being published all the time; decorator %s was not deleted", name).WithFix("try again")
	})
	return version, err
}

// deleteUnused looks through the services and deletes in a transaction that
// holds only as long as none of them has changed since. Zero means that one
// has.
func (s *Store) deleteUnused(ctx context.Context, name, key string) (int64, error) {
	got, err := s.client.Get(ctx, s.space.Services(), clientv3.WithPrefix())
	if err != nil {
		return 0, err
	}
	users := s.users(got.Kvs, name)
	if len(users) > 0 {
		return 0, inUse(name, users)
	}
	unchanged := clientv3.Compare(clientv3.ModRevision(s.space.Services()).WithPrefix(), "<", got.Header.Revision+1)
	done, err := s.commit(ctx,
		[]clientv3.Cmp{unchanged, exists(key)},
		[]clientv3.Op{clientv3.OpDelete(key)},
		[]clientv3.Op{clientv3.OpGet(key, clientv3.WithCountOnly())})
	switch {
	case err != nil:
		return 0, err
	case done.Succeeded:
		return done.Header.Revision, nil
	case done.Responses[0].GetResponseRange().GetCount() == 0:
		return 0, s.decoratorNotFound(name)
	}
	return 0, nil
}

// users are the services whose live revision carries a decorator. Of one that
// cannot be read, the last value that could counts, if this process has it;
// otherwise it does not hold up the deletion. Such a service cannot be called,
// and the publish that mends it looks at its decorators again.
func (s *Store) users(kvs []*mvccpb.KeyValue, decorator string) []string {
	var users []string
	for _, kv := range kvs {
		k, ok := s.space.Parse(string(kv.Key))
		if !ok {
			continue
		}
		svc, err := decodeService(k.Name, kv)
		if m := s.guard.mirror.Load(); err != nil && m != nil {
			svc = m.Snapshot().Services[k.Name]
		}
		if slices.Contains(svc.GetRevision().GetDecorators(), decorator) {
			users = append(users, k.Name)
		}
	}
	return users
}

func inUse(name string, users []string) error {
	named := users[:min(len(users), namedUsers)]
	return fault.New(fault.DecoratorInUse, "decorator %s is carried by %s: %s", name, plural(len(users), "service", "services"), list(named, len(users))).
		WithFix("publish %s without it, or delete it, then delete the decorator", users[0]).
		With("services", strings.Join(named, " "))
}

func decoratorChanged(name string, seen int64) error {
	return fault.New(fault.Conflict, "decorator %s has changed since version %d", name, seen).
		With("decorator", name).WithFix("look at the decorator, then try again")
}

// decorator prepares what is written.
func (s *Store) decorator(d *ruedov1.Decorator, created, updated *timestamppb.Timestamp) (next *ruedov1.Decorator, key, value string, err error) {
	if key, err = s.space.Decorator(d.GetName()); err != nil {
		return nil, "", "", err
	}
	next = proto.CloneOf(d)
	next.Version, next.CreateTime, next.UpdateTime = 0, created, updated
	if value, err = encode(next); err != nil {
		return nil, "", "", err
	}
	if len(value) > maxWrite {
		return nil, "", "", fault.New(fault.RequestInvalid, "decorator %s takes %d bytes in the store, over the limit of %d", d.GetName(), len(value), maxWrite).
			WithFix("shorten its schema")
	}
	return next, key, value, nil
}

func decodeDecorator(name string, kv *mvccpb.KeyValue) (*ruedov1.Decorator, error) {
	d := &ruedov1.Decorator{}
	if err := proto.Unmarshal(kv.Value, d); err != nil {
		return nil, unreadable(err, "decorator", name)
	}
	d.Name, d.Version = name, kv.ModRevision
	return d, nil
}
