package roster

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// TestMain checks that no test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a roster whose entries can always be written later.
func open(c *clientv3.Client, prefix string, ttl time.Duration) *Roster {
	return New(Config{
		Client: c, Prefix: prefix, TTL: cmp.Or(ttl, 5*time.Second), Timeout: 2 * time.Second,
		Refusal: func(context.Context, string, error) error { return nil }, Logger: slog.New(slog.DiscardHandler),
	})
}

// connected returns a client that connects again whenever it has to.
func connected(t *testing.T, s *etcdembed.Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

const edge1 = "/ruedo/main/runners/edge-1"

// registered is the only entry of a process.
func registered(t *testing.T, c *clientv3.Client, value string, ttl time.Duration) *Member {
	t.Helper()
	return joined(t, open(c, edge1, ttl), edge1, value)
}

// joined is an entry of a roster, until the test ends.
func joined(t *testing.T, r *Roster, key, value string) *Member {
	t.Helper()
	m, err := r.Add(t.Context(), key, value)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
		defer cancel()
		_ = m.Leave(ctx)
	})
	return m
}

// stored returns the value and the lease of the entry, and whether there is one.
func stored(t *testing.T, c *clientv3.Client) (string, clientv3.LeaseID, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	got, err := c.Get(ctx, edge1)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) == 0 {
		return "", 0, false
	}
	return string(got.Kvs[0].Value), clientv3.LeaseID(got.Kvs[0].Lease), true
}

func hangsOn(m *Member) clientv3.LeaseID {
	if !m.Registered() {
		return clientv3.NoLease
	}
	return m.roster.held()
}

func TestRegisterClose(t *testing.T) {
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	m := registered(t, c, "one", 0)
	if v, lease, ok := stored(t, c); !ok || v != "one" || lease == 0 {
		t.Fatalf("stored %q under lease %x, %t", v, lease, ok)
	}
	for range 2 {
		if err := m.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v, _, ok := stored(t, c); ok {
			t.Errorf("%q is there after Close", v)
		}
	}
	leases, err := c.Leases(t.Context())
	if err != nil || len(leases.Leases) != 0 {
		t.Errorf("leases left: %v, %v", leases, err)
	}
}

func TestEntryOfADeadProcessGoes(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	m := registered(t, c, "one", time.Second)
	began := time.Now()
	m.roster.Abandon() // as a kill: nobody renews, nobody revokes
	testkit.Eventually(t, "the entry is gone", func() bool { _, _, ok := stored(t, c); return !ok })
	if took := time.Since(began); took > testkit.Patience/2 {
		t.Errorf("gone after %v, with a TTL of 1s", took)
	}
}

func TestEntryOutlivesItsTTL(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	registered(t, c, "one", 3*time.Second)
	_, first, _ := stored(t, c)
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-deadline:
			return
		case <-tick.C:
			if _, lease, ok := stored(t, c); !ok || lease != first {
				t.Fatalf("not kept alive: %t, lease %x after %x", ok, lease, first)
			}
		}
	}
}

func TestEntryComesBackAfterItsLeaseIsLost(t *testing.T) {
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	registered(t, c, "one", time.Second)
	_, first, _ := stored(t, c)
	if _, err := c.Revoke(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it is there under a new lease", func() bool {
		v, lease, ok := stored(t, c)
		return ok && v == "one" && lease != first
	})
}

// An etcd in this process may never answer the request for a watch (etcd #18879).
// The lease and the entry are maintained all the same.
func TestEntryComesBackWithoutAWatch(t *testing.T) {
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	c.Watcher = deaf{c.Watcher}
	registered(t, c, "one", time.Second)
	if _, err := c.Delete(t.Context(), edge1); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it is there again", func() bool { _, _, ok := stored(t, c); return ok })
	_, first, _ := stored(t, c)
	if _, err := c.Revoke(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it is there under a new lease", func() bool { _, lease, ok := stored(t, c); return ok && lease != first })
}

// deaf never creates a watch.
type deaf struct{ clientv3.Watcher }

func (deaf) Watch(ctx context.Context, _ string, _ ...clientv3.OpOption) clientv3.WatchChan {
	<-ctx.Done()
	return nil
}

func TestEntryComesBackAfterItWasDeleted(t *testing.T) {
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	registered(t, c, "one", time.Hour) // so that no renewal helps
	for range 3 {
		if _, err := c.Delete(t.Context(), edge1); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "the entry is back", func() bool { _, _, ok := stored(t, c); return ok })
	}
}

func TestTwoHoldersOfOneKey(t *testing.T) {
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	for _, lastLeavesFirst := range []bool{false, true} {
		first := registered(t, c, "first", time.Hour)
		last := registered(t, c, "last", time.Hour)
		leaver, stayer := first, last
		if lastLeavesFirst {
			leaver, stayer = last, first
		}
		if err := leaver.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "the entry is there", func() bool {
			_, lease, ok := stored(t, c)
			return ok && lease == hangsOn(stayer)
		})
		if err := stayer.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v, _, ok := stored(t, c); ok {
			t.Errorf("%q is there after both left", v)
		}
	}
}

func TestEntryComesBackAfterAnOutage(t *testing.T) {
	t.Parallel()
	for what, lose := range map[string]bool{"same data": false, "data lost": true} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "a")
			s := etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: "127.0.0.1:0"})
			c := connected(t, s)
			registered(t, c, "one", time.Second)
			etcdtest.Stop(t, s)
			if lose {
				dir += "-new"
			}
			etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: s.Endpoint()})
			testkit.Eventually(t, "the entry is back", func() bool {
				v, _, ok := stored(t, c)
				return ok && v == "one"
			})
		})
	}
}

// A process that starts while its store does not answer is listed as soon as it
// answers.
func TestRegisterWithoutAStore(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	c := connected(t, s)
	etcdtest.Stop(t, s)
	registered(t, c, "one", time.Second)
	etcdtest.Start(t, etcdembed.Config{ListenClient: s.Endpoint()})
	testkit.Eventually(t, "the entry is there", func() bool { v, _, ok := stored(t, c); return ok && v == "one" })
}

func TestRenewBySingleRequests(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	grant, err := c.Grant(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	r := &Roster{Config: Config{Client: c, TTL: 3 * time.Second, Timeout: time.Second}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.renew(t.Context(), grant.ID)
	}()
	select {
	case <-ended:
		t.Error("the lease was lost")
	case <-time.After(5 * time.Second):
	}
	if _, err := c.Revoke(t.Context(), grant.ID); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(testkit.Patience):
		t.Error("the loss of the lease goes unnoticed")
	}
}
