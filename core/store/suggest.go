package store

import (
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// suggestFrom bounds how many names an error looks through.
const suggestFrom = 1000

func (s *Store) serviceNotFound(name string) error {
	return notFound(fault.ServiceNotFound, "service", name, func(snap *Snapshot) []string { return some(snap.Services) }, s)
}

func (s *Store) decoratorNotFound(name string) error {
	return notFound(fault.DecoratorNotFound, "decorator", name, func(snap *Snapshot) []string { return some(snap.Decorators) }, s)
}

// notFound suggests a name that the mirror has: etcd would read every value to
// list the names.
func notFound(r fault.Reason, what, name string, names func(*Snapshot) []string, s *Store) error {
	err := fault.New(r, "there is no %s %q", what, name)
	if m := s.guard.mirror.Load(); m != nil {
		if hint := fault.DidYouMean(name, names(m.Snapshot())); hint != "" {
			return err.WithFix("%s", hint)
		}
	}
	return err.WithFix("list the %ss", what)
}

// some returns the names in a map, not more than an error looks through.
func some[V any](m map[string]V) []string {
	names := make([]string, 0, min(len(m), suggestFrom))
	for name := range m {
		if len(names) == suggestFrom {
			break
		}
		names = append(names, name)
	}
	return names
}
