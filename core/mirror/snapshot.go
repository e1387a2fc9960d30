package mirror

import (
	"log/slog"
	"maps"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store/table"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Snapshot is the catalog and the members as they were at one revision of the
// store. All readers share it: neither the maps nor the messages may be
// changed. A service or decorator whose stored value cannot be read keeps its
// last readable value. If there is none, it is left out and [Snapshot.Fault]
// reports it. A user, role or token that cannot be read is not there.
type Snapshot struct {
	// Revision is the revision of the store.
	Revision int64
	// Services by name. Their schemas, and those of decorators, are packed; see
	// package packed.
	Services map[string]*ruedov1.Service
	// Decorators by name.
	Decorators map[string]*ruedov1.Decorator
	// Runners by id.
	Runners map[string]*ruedov1.Runner
	// Cores by id.
	Cores map[string]*ruedov1.Core
	// Cordons by the id of the runner, also those that have expired.
	Cordons map[string]*ruedov1.Cordon

	// Users by name, Roles by name, without those that are built in, and Tokens by
	// id.
	Users  map[string]*storev1.User
	Roles  map[string]*storev1.Role
	Tokens map[string]*storev1.Token
	// Authorities by number.
	Authorities map[string]*storev1.Authority
	// Accesses has at most one entry; see [Snapshot.Access].
	Accesses map[string]*storev1.Access

	// Leaders and Handovers have at most one entry each; see [Snapshot.Leader] and
	// [Snapshot.Handover].
	Leaders   map[string]*ruedov1.Leader
	Handovers map[string]*storev1.Handover

	// unreadable maps each value that cannot be read to its version.
	unreadable map[entry]int64
	// unread is why nothing has been read yet; nil if the store was read.
	unread error
}

// Leader returns the leader of the cluster, nil if there is none.
func (s *Snapshot) Leader() *ruedov1.Leader { return s.Leaders[keys.TheLeader] }

// Handover returns the order to end a leadership, nil if there is none.
func (s *Snapshot) Handover() *storev1.Handover { return s.Handovers[keys.TheLeader] }

// Unread returns STORE_RESTORING while nothing has been read, because the store is
// being restored; otherwise nil.
func (s *Snapshot) Unread() error { return s.unread }

// Access returns what holds for all logins; nil if nobody has to log in. If it is
// stored but cannot be read, logins are needed and none is good.
func (s *Snapshot) Access() *storev1.Access {
	if _, ok := s.unreadable[entry{keys.KindAccess, keys.TheAccess}]; ok {
		return table.Sealed()
	}
	return s.Accesses[keys.TheAccess]
}

// entry is what a key refers to.
type entry struct {
	kind keys.Kind
	name string
}

// Fault returns INTEGRITY for a service or decorator that is stored, but that
// this process has never been able to read. While nothing has been read, because
// the store is being restored, it returns STORE_RESTORING for any. Otherwise it
// returns nil.
func (s *Snapshot) Fault(kind keys.Kind, name string) error {
	if s.unread != nil {
		return s.unread
	}
	if _, ok := s.unreadable[entry{kind, name}]; !ok {
		return nil
	}
	for _, t := range tables() {
		if t.kind() == kind {
			return t.unreadable(name)
		}
	}
	return nil
}

// unread returns an empty snapshot of a store that cannot be read, and why.
func (m *Mirror) unread(err error) *Snapshot {
	s := newSnapshot(m.tables, 0)
	s.unread = err
	return s
}

func newSnapshot(tables []kind, revision int64) *Snapshot {
	s := &Snapshot{Revision: revision, unreadable: map[entry]int64{}}
	for _, t := range tables {
		t.init(s)
	}
	return s
}

// draft is a snapshot under construction. It shares maps that it has not cloned
// yet with the previous snapshot.
type draft struct {
	*Snapshot
	tables []kind
	space  keys.Space
	logger *slog.Logger
	// last is the previous snapshot. If everything is listed again, values that
	// cannot be read now are kept from it.
	last   *Snapshot
	listed bool
	// Which maps have been cloned.
	cloned           map[keys.Kind]bool
	unreadableCloned bool
}

// edit begins the snapshot that follows s.
func (m *Mirror) edit(s *Snapshot, revision int64) *draft {
	next := *s
	next.Revision = revision
	return &draft{Snapshot: &next, tables: m.tables, space: m.cluster.Space(), logger: m.logger, last: s, cloned: map[keys.Kind]bool{}}
}

func (d *draft) apply(e *clientv3.Event) {
	if e.Type == clientv3.EventTypeDelete {
		d.remove(e.Kv)
		return
	}
	d.put(e.Kv)
}

// find returns the table and the entry of a key, nil if it belongs to no table.
// From then on, the table's map is the draft's own.
func (d *draft) find(kv *mvccpb.KeyValue) (kind, entry, bool) {
	k, ok := d.space.Parse(string(kv.Key))
	e := entry{k.Kind, k.Name}
	if !ok {
		return nil, e, false
	}
	for _, t := range d.tables {
		if t.kind() != k.Kind {
			continue
		}
		if !d.cloned[k.Kind] {
			t.clone(d.Snapshot)
			d.cloned[k.Kind] = true
		}
		return t, e, true
	}
	return nil, e, true // the format
}

func (d *draft) put(kv *mvccpb.KeyValue) {
	t, e, ok := d.find(kv)
	switch {
	case !ok:
		d.logger.Warn("a key in the store is not one of Ruedo's", "key", keys.Quote(string(kv.Key)))
	case t == nil:
	case t.put(d.Snapshot, e.name, kv) == nil:
		d.readable(e)
	case t.strict():
		d.unreadableAt(e, kv, "it counts as missing")
		t.remove(d.Snapshot, e.name)
	case t.lasting():
		d.unreadableAt(e, kv, "its last readable value is kept")
		if d.listed {
			t.keep(d.Snapshot, d.last, e.name)
		}
	default:
		// A member comes back with its next announcement.
		d.logger.Warn("a value in the store cannot be read", "key", string(kv.Key))
		t.remove(d.Snapshot, e.name)
	}
}

func (d *draft) remove(kv *mvccpb.KeyValue) {
	if t, e, _ := d.find(kv); t != nil {
		t.remove(d.Snapshot, e.name)
		d.readable(e)
	}
}

// unreadableAt records a value that cannot be read, and logs it once.
func (d *draft) unreadableAt(e entry, kv *mvccpb.KeyValue, so string) {
	if d.last.unreadable[e] != kv.ModRevision {
		d.logger.Error("ALARM: a value in the store cannot be read; "+so, "key", string(kv.Key), "version", kv.ModRevision)
	}
	d.ownUnreadable()[e] = kv.ModRevision
}

// readable removes an entry from those that cannot be read.
func (d *draft) readable(e entry) {
	if _, ok := d.unreadable[e]; ok {
		delete(d.ownUnreadable(), e)
	}
}

// ownUnreadable returns the draft's own copy of the map.
func (d *draft) ownUnreadable() map[entry]int64 {
	if !d.unreadableCloned {
		d.unreadable, d.unreadableCloned = maps.Clone(d.unreadable), true
	}
	return d.unreadable
}
