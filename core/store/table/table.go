// Package table says how the messages of each kind are stored: under which keys,
// how a value and its version are decoded, and what the errors are for one that is
// missing or unreadable. The store and a mirror both use it.
package table

import (
	"errors"
	"math"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/packed"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// Table is how the messages of one kind are stored.
type Table[M proto.Message] struct {
	// Kind of the keys; see [keys.Space.Key].
	Kind keys.Kind
	// Noun is what grants call the kind; zero if no grant is about it.
	Noun access.Noun
	// Mend is the fix to suggest for a value that cannot be read. It is empty
	// for members, which announce themselves again.
	Mend string
	// Strict says that a value that cannot be read is not there. Otherwise the last
	// one that could be read counts.
	Strict bool

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
		Noun:     access.Service,
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
		Noun:     access.Decorator,
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
		Noun:     access.Runner,
		notFound: fault.RunnerNotFound,
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

// Access returns the table of what holds for all logins, which has at most one
// row, [keys.TheAccess].
func Access() Table[*storev1.Access] {
	return Table[*storev1.Access]{
		Kind:     keys.KindAccess,
		Mend:     "restore the data of etcd",
		Strict:   true,
		empty:    func() *storev1.Access { return &storev1.Access{} },
		identify: func(m *storev1.Access, _ string, version int64) { m.Version = version },
	}
}

// Sealed is what counts for an Access that is stored and cannot be read: logins are
// needed, and none is good.
func Sealed() *storev1.Access { return &storev1.Access{Login: true, Epoch: math.MaxUint64} }

// Users returns the table of users.
func Users() Table[*storev1.User] {
	return Table[*storev1.User]{
		Kind:     keys.KindUser,
		Noun:     access.User,
		Mend:     "write the user again, or delete it",
		Strict:   true,
		notFound: fault.UserNotFound,
		empty:    func() *storev1.User { return &storev1.User{} },
		identify: func(m *storev1.User, name string, version int64) { m.User.Name, m.User.Version = name, version },
		check: func(m *storev1.User) error {
			if m.GetUser() == nil {
				return errors.New("it has no user")
			}
			return nil
		},
	}
}

// Tokens returns the table of tokens.
func Tokens() Table[*storev1.Token] {
	return Table[*storev1.Token]{
		Kind:     keys.KindToken,
		Mend:     "delete the token",
		Strict:   true,
		notFound: fault.TokenNotFound,
		empty:    func() *storev1.Token { return &storev1.Token{} },
		identify: func(m *storev1.Token, id string, version int64) { m.Token.Id, m.Version = id, version },
		check: func(m *storev1.Token) error {
			if m.GetToken() == nil {
				return errors.New("it has no token")
			}
			return nil
		},
	}
}

// Roles returns the table of roles.
func Roles() Table[*storev1.Role] {
	return Table[*storev1.Role]{
		Kind:     keys.KindRole,
		Noun:     access.Role,
		Mend:     "write the role again, or delete it",
		Strict:   true,
		notFound: fault.RoleNotFound,
		empty:    func() *storev1.Role { return &storev1.Role{} },
		identify: func(m *storev1.Role, name string, version int64) { m.Role.Name, m.Role.Version = name, version },
		check: func(m *storev1.Role) error {
			if m.GetRole() == nil {
				return errors.New("it has no role")
			}
			return nil
		},
	}
}

// Links returns the table of links.
func Links() Table[*storev1.Link] {
	return Table[*storev1.Link]{
		Kind:     keys.KindLink,
		Mend:     "make another link",
		Strict:   true,
		empty:    func() *storev1.Link { return &storev1.Link{} },
		identify: func(m *storev1.Link, _ string, version int64) { m.Version = version },
	}
}

// Authorities returns the table of the cluster's certificate authorities. Their
// names are numbers, the highest of which is that of the one that issues.
func Authorities() Table[*storev1.Authority] {
	return Table[*storev1.Authority]{
		Kind:     keys.KindAuthority,
		Mend:     "rotate the authority",
		Strict:   true,
		empty:    func() *storev1.Authority { return &storev1.Authority{} },
		identify: func(*storev1.Authority, string, int64) {},
	}
}

// Keyrings returns the table of what seals secrets, which has at most one row,
// [keys.TheKeyring].
func Keyrings() Table[*storev1.Keyring] {
	return Table[*storev1.Keyring]{
		Kind:     keys.KindSeal,
		Mend:     "restore the data of etcd",
		Strict:   true,
		empty:    func() *storev1.Keyring { return &storev1.Keyring{} },
		identify: func(*storev1.Keyring, string, int64) {},
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
	return Unreadable(err, t.Kind.String(), name, t.Mend).With(t.Kind.String(), name)
}

// NotFound returns the error for a name that is not stored. It suggests one of
// those that are known.
func (t Table[M]) NotFound(name string, known []string) error {
	return fault.New(t.notFound, "there is no %s %q", t.Kind, name).
		WithFix("%s", suggest.Or(name, known, "list the "+t.Kind.String()+"s"))
}

// Changed returns CONFLICT for a value that is no longer at a version.
func (t Table[M]) Changed(name string, seen int64) error {
	return fault.New(fault.Conflict, "%s %s has changed since version %d", t.Kind, name, seen).
		With(t.Kind.String(), name).WithFix("look at the %s, then try again", t.Kind)
}

// Unreadable returns INTEGRITY for a stored value that is not what its key says.
func Unreadable(err error, what, name, mend string) *fault.Error {
	return fault.Wrap(err, fault.Integrity, "%s %s in the store cannot be read", what, name).WithFix("%s", mend)
}

// Encode returns the stored form of a message. It fails with REQUEST_INVALID.
func Encode(m proto.Message) (string, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return "", fault.Wrap(err, fault.RequestInvalid, "%s cannot be encoded: %v", m.ProtoReflect().Descriptor().Name(), err)
	}
	return string(b), nil
}
