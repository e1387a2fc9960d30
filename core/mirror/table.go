package mirror

import (
	"iter"
	"maps"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/table"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// tables returns the kinds that a mirror holds. A new kind is a field of
// [Snapshot] and an entry here. Schemas are most of what services and decorators
// take, and few of them are read at a time.
func tables() []kind {
	return []kind{
		rows[*ruedov1.Service]{table.Services().Packed(), func(s *Snapshot) *map[string]*ruedov1.Service { return &s.Services }},
		rows[*ruedov1.Decorator]{table.Decorators().Packed(), func(s *Snapshot) *map[string]*ruedov1.Decorator { return &s.Decorators }},
		rows[*ruedov1.Runner]{table.Runners(), func(s *Snapshot) *map[string]*ruedov1.Runner { return &s.Runners }},
		rows[*ruedov1.Core]{table.Cores(), func(s *Snapshot) *map[string]*ruedov1.Core { return &s.Cores }},
		rows[*ruedov1.Leader]{table.Leaders(), func(s *Snapshot) *map[string]*ruedov1.Leader { return &s.Leaders }},
		rows[*ruedov1.Cordon]{table.Cordons(), func(s *Snapshot) *map[string]*ruedov1.Cordon { return &s.Cordons }},
		rows[*storev1.Handover]{table.Handovers(), func(s *Snapshot) *map[string]*storev1.Handover { return &s.Handovers }},
		rows[*storev1.User]{table.Users(), func(s *Snapshot) *map[string]*storev1.User { return &s.Users }},
		rows[*storev1.Role]{table.Roles(), func(s *Snapshot) *map[string]*storev1.Role { return &s.Roles }},
		rows[*storev1.Token]{table.Tokens(), func(s *Snapshot) *map[string]*storev1.Token { return &s.Tokens }},
		rows[*storev1.Access]{table.Access(), func(s *Snapshot) *map[string]*storev1.Access { return &s.Accesses }},
		rows[*storev1.Authority]{table.Authorities(), func(s *Snapshot) *map[string]*storev1.Authority { return &s.Authorities }},
	}
}

// kind is one table, whatever the type of its messages.
type kind interface {
	kind() keys.Kind
	// lasting returns true for kinds whose entries stay until they are deleted,
	// and false for members.
	lasting() bool
	// strict returns true for kinds of which a value that cannot be read is not
	// there.
	strict() bool
	unreadable(name string) error
	// init sets an empty map.
	init(s *Snapshot)
	// clone makes the map of s its own.
	clone(s *Snapshot)
	names(s *Snapshot) iter.Seq[string]
	size(s *Snapshot) int
	put(s *Snapshot, name string, kv *mvccpb.KeyValue) error
	// keep copies a message from an older snapshot, if that has one.
	keep(s, old *Snapshot, name string)
	remove(s *Snapshot, name string)
}

// rows is the table for one type of message: how it is stored, and where it is
// in a snapshot.
type rows[M proto.Message] struct {
	table.Table[M]
	in func(*Snapshot) *map[string]M
}

func (r rows[M]) kind() keys.Kind                    { return r.Kind }
func (r rows[M]) lasting() bool                      { return r.Mend != "" }
func (r rows[M]) strict() bool                       { return r.Strict }
func (r rows[M]) unreadable(name string) error       { return r.Unreadable(name) }
func (r rows[M]) init(s *Snapshot)                   { *r.in(s) = map[string]M{} }
func (r rows[M]) clone(s *Snapshot)                  { *r.in(s) = maps.Clone(*r.in(s)) }
func (r rows[M]) names(s *Snapshot) iter.Seq[string] { return maps.Keys(*r.in(s)) }
func (r rows[M]) size(s *Snapshot) int               { return len(*r.in(s)) }
func (r rows[M]) remove(s *Snapshot, name string)    { delete(*r.in(s), name) }

func (r rows[M]) put(s *Snapshot, name string, kv *mvccpb.KeyValue) error {
	m, err := r.Decode(name, kv)
	if err != nil {
		return err
	}
	(*r.in(s))[name] = m
	return nil
}

func (r rows[M]) keep(s, old *Snapshot, name string) {
	if m, ok := (*r.in(old))[name]; ok {
		(*r.in(s))[name] = m
	}
}
