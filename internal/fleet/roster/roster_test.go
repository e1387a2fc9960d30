package roster

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

const runners = "/ruedo/main/runners/"

// listed returns how many entries are in the store.
func listed(t *testing.T, c *clientv3.Client) int {
	t.Helper()
	got, err := c.Get(t.Context(), runners, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return int(got.Count)
}

// All entries of a process have one lease: to renew it costs the same for one
// runner and for a thousand.
func TestEntriesOfAProcessShareALease(t *testing.T) {
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	r := open(c, runners, time.Second)
	var all []*Member
	for i := range 2*lookAt + 50 {
		all = append(all, joined(t, r, fmt.Sprint(runners, "r", i), "x"))
	}
	leases := func() int {
		got, err := c.Leases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(got.Leases)
	}
	if n := leases(); n != 1 {
		t.Errorf("%d leases for %d entries", n, len(all))
	}

	// They come back alone, and all together.
	if _, err := c.Delete(t.Context(), runners+"r17"); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the deleted one is back", func() bool { return listed(t, c) == len(all) })
	if _, err := c.Revoke(t.Context(), r.held()); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "all are back under one lease", func() bool { return listed(t, c) == len(all) && leases() == 1 })

	// One leaves, and the others stay.
	if err := all[0].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := listed(t, c); n != len(all)-1 {
		t.Errorf("%d entries after one of %d has left", n, len(all))
	}
	for _, m := range all[1:] {
		if err := m.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := listed(t, c); n != 0 || leases() != 0 {
		t.Errorf("%d entries and %d leases after all have left", n, leases())
	}
}

// A runner that comes back is registered again before its old lane has ended.
func TestTwoMembersOfOneProcessAtOneKey(t *testing.T) {
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	r := open(c, runners, time.Hour)
	joined(t, r, runners+"other", "x") // so that the roster lasts
	for _, newestLeavesFirst := range []bool{false, true} {
		old, newest := joined(t, r, edge1, "old"), joined(t, r, edge1, "newest")
		if v, _, _ := stored(t, c); v != "newest" {
			t.Errorf("stored %q, want that of the newest", v)
		}
		leaver, stayer := old, newest
		if newestLeavesFirst {
			leaver, stayer = newest, old
		}
		for range 2 {
			if err := leaver.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if v, _, _ := stored(t, c); v != stayer.value {
			t.Errorf("stored %q after one has left, want %q", v, stayer.value)
		}
		if err := stayer.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v, _, ok := stored(t, c); ok {
			t.Errorf("%q is there after both left", v)
		}
	}
}

// What another process has written at a key is not removed.
func TestAnEntryOfAnotherProcessStays(t *testing.T) {
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	here, there := open(c, runners, time.Hour), open(c, runners, time.Hour)
	for _, r := range []*Roster{here, there} {
		joined(t, r, fmt.Sprintf("%s%p", runners, r), "x")
	}
	moved := joined(t, here, edge1, "here")
	joined(t, there, edge1, "there")
	if err := moved.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, lease, _ := stored(t, c); v != "there" || lease != there.held() {
		t.Errorf("stored %q under lease %x", v, lease)
	}
}

// An entry that could not be removed does not stay for as long as its process.
func TestAnEntryIsRemovedWhenTheStoreAnswersAgain(t *testing.T) {
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	kv := &mute{KV: c.KV}
	c.KV = kv
	r := open(c, runners, time.Second)
	joined(t, r, runners+"other", "x")
	m := joined(t, r, edge1, "one")
	kv.on.Store(true)
	if err := m.Leave(t.Context()); err == nil {
		t.Error("it is said to be gone")
	}
	kv.on.Store(false)
	testkit.Eventually(t, "the entry is gone", func() bool { _, _, ok := stored(t, c); return !ok })
	if n := listed(t, c); n != 1 {
		t.Errorf("%d entries are left, want the other one", n)
	}
}

// mute is a store that does not answer transactions while it is on.
type mute struct {
	clientv3.KV
	on atomic.Bool
}

func (m *mute) Txn(ctx context.Context) clientv3.Txn {
	if !m.on.Load() {
		return m.KV.Txn(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return m.KV.Txn(ctx)
}
