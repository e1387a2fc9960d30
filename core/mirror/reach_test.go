package mirror

import (
	"context"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func reach(t *testing.T, m *Mirror, revision int64, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return m.Reach(ctx, revision)
}

// A revision that the store has is reached, also one that changes nothing in the
// mirror's tables. One that it does not have is refused as soon as that is
// certain, and the store is not asked more often because of it.
func TestReach(t *testing.T) {
	t.Parallel()
	s, m := filled(t, store.Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client()})
	put, err := s.client.Put(t.Context(), "elsewhere", "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := reach(t, m, put.Header.Revision, testkit.Patience); err != nil {
		t.Fatal(err)
	}
	if m.Applied() < put.Header.Revision {
		t.Errorf("the mirror is at %d, %d was reached", m.Applied(), put.Header.Revision)
	}
	const future = 1 << 60
	testkit.WantReason(t, reach(t, m, future, testkit.Patience), fault.StoreBehind, "the request requires 1152921504606846976", "older copy")
	if m.requested.Load() >= future {
		t.Error("the watch is asked for a revision that does not exist, again and again")
	}
	testkit.WantReason(t, reach(t, m, future, time.Millisecond), fault.CoreBehind, "this core has seen revision", "another core")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	testkit.WantReason(t, reach(t, m, future, testkit.Patience), fault.CoreBehind)
}

// A mirror whose store is away reaches nothing new, and says so, until the store
// is back.
func TestReachWithoutTheStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	etcd := etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: "127.0.0.1:0"})
	addr := etcd.Endpoint()
	s, m := filled(t, store.Config{Hosts: []string{addr}})
	seen := m.Applied()
	if _, lag := m.Lag(); lag > 2*time.Second {
		t.Errorf("the mirror is %s behind a store that it follows", lag)
	}
	etcdtest.Stop(t, etcd)
	testkit.Eventually(t, "the mirror is stale", m.Stale)
	if err := reach(t, m, seen, time.Millisecond); err != nil {
		t.Errorf("what the mirror has seen: %v", err)
	}
	testkit.WantReason(t, reach(t, m, seen+1, time.Millisecond), fault.CoreBehind, "its store has not answered for")
	if _, lag := m.Lag(); lag < staleAfter {
		t.Errorf("the lag is %s while the store is away", lag)
	}

	etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: addr})
	var written int64
	testkit.Eventually(t, "the store accepts a write", func() (done bool) {
		var err error
		written, err = s.DeleteDecorator(storetest.Context(t), "other")
		return err == nil
	})
	if err := reach(t, m, written, testkit.Patience); err != nil {
		t.Error(err)
	}
	testkit.Eventually(t, "the mirror is up to date", func() bool { n, lag := m.Lag(); return n == 0 && lag == 0 })
}

// The lag counts revisions and time while the watch reports nothing.
func TestLag(t *testing.T) {
	m := &Mirror{began: time.Now(), advanced: make(chan struct{}), guard: &guard.Guard{}}
	found := func(revision int64) {
		m.measure(revision)
		m.note(time.Since(m.began), revision)
	}
	m.contact()
	m.applied.Store(10)
	if n, lag := m.Lag(); n != 0 || lag != 0 {
		t.Errorf("%d revisions, %s, before the first probe", n, lag)
	}
	first := time.Now()
	found(15)
	found(17)
	if n, lag := m.Lag(); n != 7 || lag <= 0 || lag > time.Since(first) {
		t.Errorf("%d revisions, %s; want 7, since the first probe", n, lag)
	}
	m.applied.Store(17)
	if n, lag := m.Lag(); n != 0 || lag != 0 {
		t.Errorf("%d revisions, %s, after it has caught up", n, lag)
	}
}

func TestTheIdOfAStore(t *testing.T) {
	s := fresh(t)
	m := mirror(t, s)
	id := m.StoreID()
	if len(id) != 10 || id != mirror(t, s).StoreID() {
		t.Errorf("the id is %q", id)
	}
	if other := mirror(t, fresh(t)); other.StoreID() == id {
		t.Error("two stores have one id")
	}
	if allocs := testing.AllocsPerRun(100, func() { _ = m.StoreID() }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
