package store

import (
	"context"
	"errors"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/packed"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// Table says how the messages of one kind are stored: under which keys, and how
// a value and its version are decoded. A [Store] and a mirror both use it.
type Table[M proto.Message] struct {
	// Kind of the keys; see [keys.Space.Key].
	Kind keys.Kind
	// Mend is the fix to suggest for a value that cannot be read. It is empty
	// for members, which announce themselves again.
	Mend string

	notFound fault.Reason
	empty    func() M
	// identify sets the name and version from the key, which is authoritative.
	identify func(m M, name string, version int64)
	// check returns what is wrong with a decoded message. Nil checks nothing.
	check func(M) error
	// packed leaves schemas encoded; see Packed.
	packed bool
}

// Packed returns the table with another Decode: it leaves the schemas of a message
// encoded, as package packed says.
func (t Table[M]) Packed() Table[M] {
	t.packed = true
	return t
}

// Services returns the table of services, each with its live revision.
func Services() Table[*ruedov1.Service] {
	return Table[*ruedov1.Service]{
		Kind:     keys.KindService,
		Mend:     "publish the service again",
		notFound: fault.ServiceNotFound,
		empty:    func() *ruedov1.Service { return &ruedov1.Service{} },
		identify: func(m *ruedov1.Service, name string, version int64) { m.Name, m.Version = name, version },
		check: func(m *ruedov1.Service) error {
			if m.GetRevision() == nil {
				return errors.New("it has no revision")
			}
			return nil
		},
	}
}

// Decorators returns the table of decorators.
func Decorators() Table[*ruedov1.Decorator] {
	return Table[*ruedov1.Decorator]{
		Kind:     keys.KindDecorator,
		Mend:     "write the decorator again",
		notFound: fault.DecoratorNotFound,
		empty:    func() *ruedov1.Decorator { return &ruedov1.Decorator{} },
		identify: func(m *ruedov1.Decorator, name string, version int64) {
			m.Name, m.Version = name, version
			if m.GetRevision() == 0 { // written before decorators had revisions
				m.Revision, m.Latest = 1, 1
			}
		},
	}
}

// Runners returns the table of registered runners.
func Runners() Table[*ruedov1.Runner] {
	return Table[*ruedov1.Runner]{
		Kind:     keys.KindRunner,
		empty:    func() *ruedov1.Runner { return &ruedov1.Runner{} },
		identify: func(m *ruedov1.Runner, id string, _ int64) { m.Id = id },
	}
}

// Cores returns the table of cores.
func Cores() Table[*ruedov1.Core] {
	return Table[*ruedov1.Core]{
		Kind:     keys.KindCore,
		empty:    func() *ruedov1.Core { return &ruedov1.Core{} },
		identify: func(m *ruedov1.Core, id string, _ int64) { m.Id = id },
	}
}

// Leaders returns the table of the leader, which has at most one row,
// [keys.TheLeader].
func Leaders() Table[*ruedov1.Leader] {
	return Table[*ruedov1.Leader]{
		Kind:     keys.KindLeader,
		empty:    func() *ruedov1.Leader { return &ruedov1.Leader{} },
		identify: func(m *ruedov1.Leader, _ string, version int64) { m.Term = version }, // it is written once
	}
}

// Handovers returns the table of the order to hand over the leadership, which
// has at most one row, [keys.TheLeader].
func Handovers() Table[*storev1.Handover] {
	return Table[*storev1.Handover]{
		Kind:     keys.KindHandover,
		empty:    func() *storev1.Handover { return &storev1.Handover{} },
		identify: func(*storev1.Handover, string, int64) {},
	}
}

// Cordons returns the table of cordoned runners.
func Cordons() Table[*ruedov1.Cordon] {
	return Table[*ruedov1.Cordon]{
		Kind:     keys.KindCordon,
		Mend:     "cordon the runner again, or uncordon it",
		empty:    func() *ruedov1.Cordon { return &ruedov1.Cordon{} },
		identify: func(m *ruedov1.Cordon, runner string, version int64) { m.Runner, m.Version = runner, version },
	}
}

// Decode decodes the stored message with this name. It fails with INTEGRITY.
func (t Table[M]) Decode(name string, kv *mvccpb.KeyValue) (M, error) {
	m := t.empty()
	decode := proto.Unmarshal
	if t.packed {
		decode = packed.Unmarshal
	}
	err := decode(kv.Value, m)
	if err == nil && t.check != nil {
		err = t.check(m)
	}
	if err != nil {
		var none M
		return none, t.unreadable(err, name)
	}
	t.identify(m, name, kv.ModRevision)
	return m, nil
}

// Unreadable returns INTEGRITY for a value that cannot be read.
func (t Table[M]) Unreadable(name string) error { return t.unreadable(nil, name) }

func (t Table[M]) unreadable(err error, name string) error {
	return unreadable(err, t.Kind.String(), name, t.Mend).With(t.Kind.String(), name)
}

// unreadable returns the error for a stored value that is not what its key
// says.
func unreadable(err error, what, name, mend string) *fault.Error {
	return fault.Wrap(err, fault.Integrity, "%s %s in the store cannot be read", what, name).WithFix("%s", mend)
}

// get reads one message. Its not-found error suggests the nearest name.
func get[M proto.Message](ctx context.Context, s *Store, t Table[M], name string) (m M, err error) {
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
			return missing(s, t, name)
		}
		m, err = t.Decode(name, got.Kvs[0])
		return err
	})
	return m, err
}

func changed[M proto.Message](t Table[M], name string, seen int64) error {
	return fault.New(fault.Conflict, "%s %s has changed since version %d", t.Kind, name, seen).
		With(t.Kind.String(), name).WithFix("look at the %s, then try again", t.Kind)
}

// suggestFrom bounds how many names are searched for a suggestion.
const suggestFrom = 1000

// missing returns the not-found error of a kind. It suggests a name from
// memory: etcd would read every value to list the names.
func missing[M proto.Message](s *Store, t Table[M], name string) error {
	var names []string
	if m := s.memory.Load(); m != nil {
		names = slices.Collect((*m).Names(t.Kind, suggestFrom))
	}
	return fault.New(t.notFound, "there is no %s %q", t.Kind, name).
		WithFix("%s", suggest.Or(name, names, "list the "+t.Kind.String()+"s"))
}

// encode returns the stored form of a message.
func encode(m proto.Message) (string, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return "", fault.Wrap(err, fault.RequestInvalid, "%s cannot be encoded: %v", m.ProtoReflect().Descriptor().Name(), err)
	}
	return string(b), nil
}
