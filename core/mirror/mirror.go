// Package mirror holds the catalog and the members of a cluster in memory, kept
// up to date by watches, so that no call reads the store.
//
//	m, err := mirror.Open(ctx, mirror.Config{Store: s})
//	defer m.Close()
//	m.Snapshot().Services["greet"]
//
// # The store may be away
//
// A mirror goes on from memory, and recovers on its own: after a lost
// connection, after a compaction of what it had not seen yet, after its watches
// stopped reporting without an error, and after the store was replaced by an
// older copy of itself. It does not follow a store that comes back without
// anything that the mirror holds; see [Mirror.Alarms].
//
// # Order
//
// A change becomes visible only together with, or after, everything that
// happened before it in the store: a service never appears before its
// decorators. After [Mirror.Wait] with the version of a write, every snapshot
// includes that write.
//
// # Kinds
//
// What a mirror holds is a list of tables, each made of a [table.Table]: a new
// kind is one entry there.
package mirror

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/fleet/unbroken"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// staleAfter is how long a store can be silent before its mirror is stale.
const staleAfter = 3 * time.Second

// Config configures a Mirror.
type Config struct {
	// Store is the store to mirror. Required. Its errors will suggest names
	// from the mirror.
	Store *store.Store
	// Logger; nil discards.
	Logger *slog.Logger
}

// Mirror is the catalog and the members in memory. Its methods can be called
// from many goroutines. What they return is shared and must not be changed.
type Mirror struct {
	cluster *fleet.Cluster
	guard   *guard.Guard
	logger  *slog.Logger
	tables  []kind
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	closed  chan struct{}

	snapshot atomic.Pointer[Snapshot]
	// applied is the revision up to which the snapshot includes everything.
	applied atomic.Int64
	// requested is the highest revision that a caller waits for.
	requested atomic.Int64
	// lastContact is when the store last answered, as time since began.
	lastContact atomic.Int64
	began       time.Time
	// target is a revision that a heartbeat found in the store, and targetSince
	// when it did, as time since began.
	target, targetSince atomic.Int64
	// latency is how long the store took to answer the last probe that succeeded.
	latency atomic.Int64
	// etcd is etcd's own cluster id. Another store has another id.
	etcd atomic.Uint64
	// term is that of the store's leader when everything was listed. A store that
	// was started again is in another one.
	term    atomic.Uint64
	storeID atomic.Pointer[storeID]
	// lastProbe is what the last successful probe has found.
	lastProbe atomic.Pointer[probed]

	wake   chan struct{} // requested has grown
	relist chan error    // why what the watches have reported cannot be trusted
	// session has the last list and the watches that follow it. Only load and run
	// use it.
	session *unbroken.Session
	// stream is the number of the watches' stream. A stream that is stuck is not
	// used again. Only run uses it.
	stream int
	stuck  atomic.Uint64 // times that the watches made no progress

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when the snapshot changes
	advanced chan struct{} // the same when applied grows
}

// Open loads the mirror, within ctx and the store's OpTimeout, and keeps it up
// to date until Close. It fails with STORE_UNAVAILABLE. The mirror of a store that
// is being restored is empty until the restore has ended; see [Snapshot.Fault].
func Open(ctx context.Context, cfg Config) (*Mirror, error) {
	m := newMirror(cfg.Store.Cluster(), cfg.Store.Guard(), cfg.Logger)
	switch err := m.load(ctx); {
	case errors.Is(err, fault.StoreRestoring):
		m.show(m.unread(err), 0)
	case err != nil:
		return nil, err
	}
	cfg.Store.SetMemory(m)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	m.wg.Go(func() { m.run(run) })
	m.wg.Go(func() { m.heartbeat(run) })
	return m, nil
}

func newMirror(cluster *fleet.Cluster, writes *guard.Guard, logger *slog.Logger) *Mirror {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Mirror{
		cluster:  cluster,
		guard:    writes,
		logger:   logger,
		tables:   tables(),
		began:    time.Now(),
		closed:   make(chan struct{}),
		wake:     make(chan struct{}, 1),
		relist:   make(chan error, 1),
		changed:  make(chan struct{}),
		advanced: make(chan struct{}),
	}
}

// Close stops the mirror and waits for it. The last snapshot remains available.
func (m *Mirror) Close() error {
	m.cancel()
	m.wg.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.closed:
	default:
		close(m.closed)
	}
	return nil
}

// Snapshot returns the current state. It costs one atomic load, and returns the
// same pointer until something has changed.
func (m *Mirror) Snapshot() *Snapshot { return m.snapshot.Load() }

// Age returns how long ago the store last answered.
func (m *Mirror) Age() time.Duration {
	return max(0, time.Since(m.began)-time.Duration(m.lastContact.Load()))
}

// Stale reports whether the store has not answered for more than 3 s, so that the
// snapshot may be out of date.
func (m *Mirror) Stale() bool { return m.Age() > staleAfter }

// StoreLatency returns how long the store took to answer when it last did: a read
// through its quorum, once a second. It is zero before the first answer.
func (m *Mirror) StoreLatency() time.Duration { return time.Duration(m.latency.Load()) }

// Changed returns a channel that is closed at the next change of the snapshot.
// Get it before the snapshot, so that no change is missed between the two.
func (m *Mirror) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Wait returns when the mirror has seen a revision of the store: from then on,
// every snapshot includes every write up to it. It returns ctx's error if ctx
// ends first.
func (m *Mirror) Wait(ctx context.Context, revision int64) error {
	for {
		m.mu.Lock()
		advanced := m.advanced
		m.mu.Unlock()
		if m.applied.Load() >= revision {
			return nil
		}
		m.request(revision)
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		case <-m.closed:
			return fault.New(fault.StoreUnavailable, "this core is shutting down").WithFix("try again")
		}
	}
}

// request asks the watcher for progress up to revision, because a write outside
// the mirror's tables produces no event.
func (m *Mirror) request(revision int64) {
	for {
		was := m.requested.Load()
		if was >= revision || m.requested.CompareAndSwap(was, revision) {
			break
		}
	}
	signal(m.wake)
}

// load reads everything at one revision. If it fails with STORE_EMPTY,
// STORE_FORMAT or STORE_RESTORING, the mirror must not follow the store: memory is
// kept, and writes are refused.
func (m *Mirror) load(ctx context.Context) error {
	m.session = new(unbroken.Session)
	began := time.Since(m.began)
	var got *clientv3.TxnResponse
	err := m.cluster.Do(m.session.Context(ctx), "read the catalog", func(ctx context.Context) (err error) {
		var all []clientv3.Op
		for _, key := range m.watched() {
			all = append(all, clientv3.OpGet(key, under(key)...))
		}
		got, err = m.cluster.Txn(ctx).Then(all...).Commit()
		return err
	})
	if err != nil {
		return err
	}
	m.contact()
	old := m.Snapshot()
	var format []byte
	stored := map[string]*mvccpb.KeyValue{}
	for _, r := range got.Responses {
		for _, kv := range r.GetResponseRange().GetKvs() {
			stored[string(kv.Key)] = kv
		}
	}
	if kv := stored[m.cluster.Space().Format()]; kv != nil {
		format = kv.Value
	}
	if err := m.refuse(old, stored, format, got.Header); err != nil {
		m.guard.Block(err)
		return err
	}
	d := m.edit(newSnapshot(m.tables, 0), got.Header.Revision)
	if old != nil {
		d.last, d.listed = old, true
	}
	for _, kv := range stored {
		d.put(kv)
	}
	m.guard.Follow(format)
	m.etcd.Store(got.Header.ClusterId)
	m.term.Store(got.Header.RaftTerm)
	// A revision of a previous store might never come.
	m.lastProbe.Store(&probed{began, got.Header.Revision})
	m.requested.Store(0)
	m.show(d.Snapshot, got.Header.Revision)
	return nil
}

// refuse returns an error if what was listed must not replace old: the store
// has another format, or has lost everything that memory holds. If the store is
// certainly the same as before and at a later revision, everything was deleted
// on purpose, which is not a loss. Neither is what a restore replaced.
func (m *Mirror) refuse(old *Snapshot, stored map[string]*mvccpb.KeyValue, format []byte, now *etcdserverpb.ResponseHeader) *fault.Error {
	if format != nil {
		if err := m.cluster.ReadFormat(format); err != nil {
			return fault.FromError(err)
		}
	}
	if m.guard.AcceptsEmpty() || old == nil {
		return nil
	}
	var counts []string
	var first kind // the first one of which old has rows
	for _, t := range m.tables {
		if !t.lasting() || t.size(old) == 0 {
			continue
		}
		counts = append(counts, text.Count(t.size(old), t.kind().String()))
		if first == nil {
			first = t
		}
	}
	if first == nil {
		return nil
	}
	held := "this core holds " + strings.Join(counts, " and ")
	if format == nil {
		return fleet.StoreEmpty("%s, the store has not even a format number", held)
	}
	if known := m.guard.Format(); known != nil {
		same := fleet.SameStore(known, format) && now.ClusterId == m.etcd.Load() && now.Revision >= m.applied.Load()
		if same || fleet.Replaces(format, known) {
			return nil
		}
	}
	prefix := m.cluster.Space().Prefix(first.kind())
	for name := range first.names(old) {
		if stored[prefix+name] != nil {
			return nil
		}
	}
	return fleet.StoreEmpty("%s, the store has none of them", held)
}

// watched returns the prefixes of all tables, and the format's key.
func (m *Mirror) watched() []string {
	space := m.cluster.Space()
	var all []string
	for _, t := range m.tables {
		all = append(all, space.Prefix(t.kind()))
	}
	return append(all, space.Format())
}

// under returns the options that make a key with a trailing slash a prefix.
func under(key string) []clientv3.OpOption {
	if strings.HasSuffix(key, "/") {
		return []clientv3.OpOption{clientv3.WithPrefix()}
	}
	return nil
}

// anotherFormat reports whether an event changes or removes the format of the
// store.
func (m *Mirror) anotherFormat(e *clientv3.Event) bool {
	if string(e.Kv.Key) != m.cluster.Space().Format() {
		return false
	}
	known := m.guard.Format()
	return e.Type == clientv3.EventTypeDelete || known == nil || string(known) != string(e.Kv.Value)
}

// run follows the store until ctx ends.
func (m *Mirror) run(ctx context.Context) {
	var retry backoff.Backoff
	for {
		began := time.Now()
		err := errRelist
		if m.Snapshot().unread == nil {
			err = m.follow(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errStuck) {
			m.stream++
			m.stuck.Add(1)
			m.logger.Warn("the watch of the store makes no progress; listing the store again", "revision", m.applied.Load(), "store_revision", m.target.Load())
		} else {
			m.logger.Debug("the watch of the store broke; listing it again", "error", err)
		}
		if time.Since(began) > staleAfter {
			retry.Reset()
		}
		for {
			if retry.Wait(ctx) != nil {
				return
			}
			if err = m.load(ctx); err == nil {
				break
			}
			switch fault.ReasonOf(err) {
			case fault.StoreUnavailable, fault.StoreEmpty, fault.StoreFormat, fault.StoreRestoring, fault.StoreFull, fault.StoreNoQuorum, fault.MemberRemoved, fault.DataDirLost, fault.DataDirReadOnly: // reported elsewhere
			default:
				m.logger.Warn("cannot list the store again", "error", err)
			}
		}
	}
}

// Stuck returns how many times the watches of the store made no progress, so that
// it was listed again.
func (m *Mirror) Stuck() uint64 { return m.stuck.Load() }

// listAgain makes the mirror list the store again.
func (m *Mirror) listAgain(because error) {
	select {
	case m.relist <- because:
	default:
	}
}

func (m *Mirror) contact() { m.lastContact.Store(int64(time.Since(m.began))) }

// show replaces the snapshot, unless s is nil, and wakes all waiters.
func (m *Mirror) show(s *Snapshot, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s != nil {
		m.snapshot.Store(s)
	}
	m.applied.Store(revision)
	if s != nil {
		close(m.changed)
		m.changed = make(chan struct{})
	}
	m.wakeWaiters()
}

// signal wakes the receiver of ch once, no matter how often it is called
// meanwhile.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// namedUnreadable bounds how many unreadable values an alarm names.
const namedUnreadable = 5

// Alarms returns what is wrong with the store: why writes are refused, and, as
// INTEGRITY, which values cannot be read.
func (m *Mirror) Alarms() []*fault.Error {
	alarms := m.guard.Alarms()
	var names []string
	for e := range m.Snapshot().unreadable {
		names = append(names, e.kind.String()+" "+e.name)
	}
	if n := len(names); n > 0 {
		slices.Sort(names)
		alarms = append(alarms, fault.New(fault.Integrity, "%s in the store cannot be read: %s", text.Count(n, "value"), text.List(names[:min(n, namedUnreadable)], n)).
			WithFix("publish the services again, and write the others again"))
	}
	return alarms
}

// Names returns at most limit names of a kind, in any order.
func (m *Mirror) Names(kind keys.Kind, limit int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, t := range m.tables {
			if t.kind() != kind {
				continue
			}
			n := 0
			for name := range t.names(m.Snapshot()) {
				if n++; n > limit || !yield(name) {
					return
				}
			}
		}
	}
}

// Service returns the last value of a service that could be read, or nil.
func (m *Mirror) Service(name string) *ruedov1.Service { return m.Snapshot().Services[name] }

var _ store.Memory = (*Mirror)(nil)
