package store

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// suggestFrom bounds how many names an error looks through.
const suggestFrom = 2000

func (s *Store) serviceNotFound(ctx context.Context, name string) error {
	return s.notFound(ctx, fault.ServiceNotFound, "service", name, s.space.Services())
}

func (s *Store) decoratorNotFound(ctx context.Context, name string) error {
	return s.notFound(ctx, fault.DecoratorNotFound, "decorator", name, s.space.Decorators())
}

func (s *Store) notFound(ctx context.Context, r fault.Reason, what, name, prefix string) error {
	err := fault.New(r, "there is no %s %q", what, name)
	if hint := fault.DidYouMean(name, s.names(ctx, prefix)); hint != "" {
		return err.WithFix("%s", hint)
	}
	return err.WithFix("ruedo get %ss", what)
}

// names lists the names under a prefix, as far as the store gives them: a
// suggestion that cannot be made is none.
func (s *Store) names(ctx context.Context, prefix string) []string {
	got, err := s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(suggestFrom))
	if err != nil {
		return nil
	}
	var names []string
	for _, kv := range got.Kvs {
		if k, ok := s.space.Parse(string(kv.Key)); ok {
			names = append(names, k.Name)
		}
	}
	return names
}
