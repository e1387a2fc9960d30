package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

// staleAfter is how long a store may be unheard before its mirror is stale.
const staleAfter = 3 * time.Second

// Mirror is the catalog and the members in memory, fed by watch.
//
// It goes on while the store is away, and comes back by itself: after a lost
// connection, after a compaction of what it had not seen yet, and after the
// store was replaced by an older copy of itself. A store that comes back without
// anything that the mirror holds is not followed: see [Mirror.Alarms].
//
// A change is shown only when all that the store did before it is shown: a
// service never appears before its decorators.
type Mirror struct {
	store  *Store
	cancel context.CancelFunc
	wg     sync.WaitGroup
	closed chan struct{}

	snapshot atomic.Pointer[Snapshot]
	// horizon is the revision up to which everything is in the snapshot.
	horizon atomic.Int64
	// wanted is the highest revision that somebody waits for.
	wanted atomic.Int64
	// heard is when the store last answered, as time since began.
	heard   atomic.Int64
	began   time.Time
	cluster atomic.Uint64 // etcd's own id, which tells another store

	kick   chan struct{} // wanted has grown
	resync chan struct{} // what the watch knows is not to be trusted

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when the snapshot changes
	moved   chan struct{} // the same when the horizon moves
}

// OpenMirror loads the mirror, within ctx and OpTimeout, and keeps it up to date
// until Close. STORE_UNAVAILABLE.
func OpenMirror(ctx context.Context, s *Store) (*Mirror, error) {
	m := &Mirror{
		store:   s,
		began:   time.Now(),
		closed:  make(chan struct{}),
		kick:    make(chan struct{}, 1),
		resync:  make(chan struct{}, 1),
		changed: make(chan struct{}),
		moved:   make(chan struct{}),
	}
	if err := m.load(ctx); err != nil {
		return nil, err
	}
	s.guard.mirror.Store(m)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	m.wg.Go(func() { m.run(run) })
	m.wg.Go(func() { m.beat(run) })
	return m, nil
}

// Close ends the mirror and waits for it. The last snapshot stays.
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

// Snapshot is the present state. It costs one atomic load, and gives the same
// pointer until something has changed.
func (m *Mirror) Snapshot() *Snapshot { return m.snapshot.Load() }

// Revision of the store that the mirror has seen. It moves on also where the
// store's changes are none of the mirror's, and the snapshot stays.
func (m *Mirror) Revision() int64 { return m.horizon.Load() }

// Age is how long ago the store was last heard.
func (m *Mirror) Age() time.Duration {
	return max(0, time.Since(m.began)-time.Duration(m.heard.Load()))
}

// Stale tells that the store was not heard for more than 3 s, so that what the
// mirror gives may be of the past.
func (m *Mirror) Stale() bool { return m.Age() > staleAfter }

// Changed gives a channel that is closed at the next change of the snapshot.
// Get it before the snapshot, so that no change is missed between the two.
func (m *Mirror) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Wait returns when the mirror has seen a revision of the store: what Snapshot
// gives from then on holds every write up to it. It gives ctx's error where
// that takes longer.
func (m *Mirror) Wait(ctx context.Context, revision int64) error {
	for {
		m.mu.Lock()
		moved := m.moved
		m.mu.Unlock()
		if m.horizon.Load() >= revision {
			return nil
		}
		m.want(revision)
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-m.closed:
			return fault.New(fault.StoreUnavailable, "this core is shutting down").WithFix("try again")
		}
	}
}

// want has the watch find out whether a revision is there yet: one that touches
// none of the mirror's keys makes no event.
func (m *Mirror) want(revision int64) {
	for {
		was := m.wanted.Load()
		if was >= revision || m.wanted.CompareAndSwap(was, revision) {
			break
		}
	}
	signal(m.kick)
}

// load reads everything at one revision. With STORE_EMPTY and STORE_FORMAT the
// store is not one to follow: memory stays, and writes are refused.
func (m *Mirror) load(ctx context.Context) error {
	s := m.store
	var got *clientv3.TxnResponse
	err := s.do(ctx, "read the catalog", func(ctx context.Context) (err error) {
		var all []clientv3.Op
		for _, key := range m.watched() {
			all = append(all, clientv3.OpGet(key, under(key)...))
		}
		got, err = s.client.Txn(ctx).Then(all...).Commit()
		return err
	})
	if err != nil {
		return err
	}
	m.hear()
	old := m.Snapshot()
	var format []byte
	stored := map[string]*mvccpb.KeyValue{}
	for _, r := range got.Responses {
		for _, kv := range r.GetResponseRange().GetKvs() {
			stored[string(kv.Key)] = kv
		}
	}
	if kv := stored[s.space.Format()]; kv != nil {
		format = kv.Value
	}
	if err := m.refuse(old, stored, format, got.Header); err != nil {
		s.block(err)
		return err
	}
	s.block(nil)
	d := newSnapshot(0).edit(got.Header.Revision, s.space, s.logger)
	if old != nil {
		d.last, d.listed = old, true
	}
	for _, kv := range stored {
		d.put(kv)
	}
	s.guard.format.Store(nil)
	if format != nil {
		s.guard.format.Store(&format)
	}
	m.cluster.Store(got.Header.ClusterId)
	m.wanted.Store(0) // of a store before, it might never come
	m.show(d.Snapshot, got.Header.Revision)
	return nil
}

// refuse finds out whether what was listed is to take the place of old: a store
// that has another format is not, nor one that has lost all that memory holds.
// That all was deleted is no loss if the store is certainly the one of before,
// and later.
func (m *Mirror) refuse(old *Snapshot, stored map[string]*mvccpb.KeyValue, format []byte, now *etcdserverpb.ResponseHeader) *fault.Error {
	s := m.store
	if format != nil {
		if err := fleet.ReadFormat(format, s.space); err != nil {
			return fault.Of(err)
		}
	}
	if s.accept || old == nil || len(old.Services)+len(old.Decorators) == 0 {
		return nil
	}
	held := fmt.Sprintf("this core holds %s and %s", plural(len(old.Services), "service", "services"), plural(len(old.Decorators), "decorator", "decorators"))
	if format == nil {
		return fleet.StoreEmpty("%s, the store has not even a format number", held)
	}
	if known := s.guard.format.Load(); known != nil && fleet.SameStore(*known, format) && now.ClusterId == m.cluster.Load() && now.Revision >= m.horizon.Load() {
		return nil
	}
	if survives(old.Services, s.space.Services(), stored) || len(old.Services) == 0 && survives(old.Decorators, s.space.Decorators(), stored) {
		return nil
	}
	return fleet.StoreEmpty("%s, the store has none of them", held)
}

// survives reports whether one of the names is stored still.
func survives[V any](names map[string]V, prefix string, stored map[string]*mvccpb.KeyValue) bool {
	for name := range names {
		if stored[prefix+name] != nil {
			return true
		}
	}
	return false
}

// watched are the prefixes that the mirror is made of, and the format's key.
func (m *Mirror) watched() []string {
	space := m.store.space
	return []string{space.Services(), space.Decorators(), space.Runners(), space.Cores(), space.Format()}
}

// under has a key that ends in a slash mean all that begins with it.
func under(key string) []clientv3.OpOption {
	if strings.HasSuffix(key, "/") {
		return []clientv3.OpOption{clientv3.WithPrefix()}
	}
	return nil
}

// anotherFormat reports whether an event leaves the store without the format
// that it had.
func (m *Mirror) anotherFormat(e *clientv3.Event) bool {
	if string(e.Kv.Key) != m.store.space.Format() {
		return false
	}
	known := m.store.guard.format.Load()
	return e.Type == clientv3.EventTypeDelete || known == nil || string(*known) != string(e.Kv.Value)
}

// run follows the store until ctx ends.
func (m *Mirror) run(ctx context.Context) {
	var retry fleet.Backoff
	for {
		began := time.Now()
		err := m.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		m.store.logger.Debug("the watch of the store broke; listing it again", "error", err)
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
			case fault.StoreUnavailable, fault.StoreEmpty, fault.StoreFormat: // told elsewhere
			default:
				m.store.logger.Warn("cannot list the store again", "error", err)
			}
		}
	}
}

func (m *Mirror) hear() { m.heard.Store(int64(time.Since(m.began))) }

// show makes a snapshot, or nil for the same, what the mirror gives, and tells
// those who wait.
func (m *Mirror) show(s *Snapshot, horizon int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s != nil {
		m.snapshot.Store(s)
	}
	m.horizon.Store(horizon)
	if s != nil {
		close(m.changed)
		m.changed = make(chan struct{})
	}
	close(m.moved)
	m.moved = make(chan struct{})
}

// signal leaves a note that is read once, however often it was left.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
