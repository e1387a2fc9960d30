package store

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/table"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// suggestFrom bounds how many names are searched for a suggestion, and
	// suggestLook how many are looked at for those that the caller may read.
	suggestFrom = 1000
	suggestLook = 10_000
)

// get reads one message. Its not-found error suggests the nearest name.
func get[M proto.Message](ctx context.Context, s *Store, t table.Table[M], name string) (m M, err error) {
	key, err := s.space.Key(t.Kind, name)
	if err != nil {
		return m, err
	}
	err = s.cluster.Do(ctx, "read "+t.Kind.String()+" "+name, func(ctx context.Context) error {
		got, err := s.cluster.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(got.Kvs) == 0 {
			return missing(ctx, s, t, name)
		}
		m, err = t.Decode(name, got.Kvs[0])
		return err
	})
	return m, err
}

// Missing returns the error for a name that is not stored. A name that is invisible
// to the caller gets the same one, so that the two cannot be told apart: it
// suggests only what the request of ctx may read.
func (s *Store) Missing(ctx context.Context, noun access.Noun, name string) error {
	switch noun {
	case access.Service:
		return missing(ctx, s, table.Services(), name)
	case access.Decorator:
		return missing(ctx, s, table.Decorators(), name)
	case access.Runner:
		return missing(ctx, s, table.Runners(), name)
	case access.User:
		return missing(ctx, s, table.Users(), name)
	case access.Role:
		return missing(ctx, s, table.Roles(), name)
	}
	word := access.NounWord(noun)
	return fault.New(fault.NotFound, "there is no %s %q", word, name).WithFix("list the %ss", word)
}

// missing suggests a name from memory: etcd would read every value to list the
// names.
func missing[M proto.Message](ctx context.Context, s *Store, t table.Table[M], name string) error {
	var known []string
	if m := s.memory.Load(); m != nil {
		visible := access.Visible(ctx, t.Noun)
		for n := range (*m).Names(t.Kind, suggestLook) {
			if visible(n) {
				known = append(known, n)
			}
			if len(known) == suggestFrom {
				break
			}
		}
	}
	return t.NotFound(name, known)
}
