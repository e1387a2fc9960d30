package fleet

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// opened returns a cluster with a connection of its own.
func opened(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	cfg.Cluster, cfg.OpTimeout = "main", testkit.Patience
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// campaigned tries once to make a core the leader; nil: another one is.
func campaigned(t *testing.T, c *Cluster, core string, ttl time.Duration) *Leadership {
	t.Helper()
	l, err := c.Campaign(t.Context(), &ruedov1.Leader{Core: core}, ttl)
	if err != nil {
		t.Fatal(err)
	}
	if l != nil {
		t.Cleanup(func() { _ = l.Resign(context.Background()) })
	}
	return l
}

// write makes a write that only the leader may make.
func write(t *testing.T, c *Cluster, f Fence, value string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	done, err := c.Txn(ctx).If(f.Held()).Then(clientv3.OpPut("/ruedo/main/x", value)).Else(f.Look()).Commit()
	if err != nil {
		t.Fatal(err)
	}
	if done.Succeeded {
		return nil
	}
	if err := f.Check(done.Responses[0].GetResponseRange().GetKvs()); err != nil {
		return err
	}
	return errors.New("refused, although the leadership lasts")
}

func TestOneLeaderAtATime(t *testing.T) {
	c := opened(t, Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client()})
	if _, err := c.client.Put(t.Context(), c.space.Handover(), "an order that the election carries out"); err != nil {
		t.Fatal(err)
	}
	first := campaigned(t, c, "one", 0)
	if first == nil || !first.Held() || first.Context().Err() != nil {
		t.Fatal("nobody leads, and nobody is elected")
	}
	if got, err := c.client.Get(t.Context(), c.space.Handover(), clientv3.WithCountOnly()); err != nil || got.Count != 0 {
		t.Errorf("the order is still there: %v", err)
	}
	if campaigned(t, c, "two", 0) != nil {
		t.Fatal("two lead at a time")
	}
	leases, err := c.client.Leases(t.Context())
	if err != nil || len(leases.Leases) != 1 {
		t.Errorf("the loser leaves a lease behind: %v, %v", leases, err)
	}
	if err := write(t, c, first.Fence(), "one"); err != nil {
		t.Error(err)
	}
	began := time.Now()
	if err := first.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := campaigned(t, c, "two", 0)
	if second == nil || time.Since(began) > DefaultTTL/2 {
		t.Fatalf("nobody is elected %v after the leader has resigned", time.Since(began))
	}
	if first.Held() || first.Context().Err() == nil || second.Term() <= first.Term() {
		t.Errorf("after its end: held %t, %v; terms %d, %d", first.Held(), first.Context().Err(), first.Term(), second.Term())
	}
	testkit.WantReason(t, write(t, c, first.Fence(), "late"), fault.LeadershipLost)
	testkit.WantReason(t, write(t, c, Fence{}, "nobody's"), fault.LeadershipLost)
	if err := write(t, c, second.Fence(), "two"); err != nil {
		t.Error(err)
	}
	if err := first.Resign(t.Context()); err != nil || !second.Held() {
		t.Errorf("resigning again: %v", err)
	}
	if err := write(t, c, second.Fence(), "two"); err != nil {
		t.Errorf("the first has ended the leadership of the second: %v", err)
	}
	if err := second.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	if leases, err := c.client.Leases(t.Context()); err != nil || len(leases.Leases) != 0 {
		t.Errorf("leases left: %v, %v", leases, err)
	}
}

// A leader that is cut off stops before another one can be elected, and what it
// still sends writes nothing.
func TestALeaderThatIsCutOff(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	e := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	proxy := testkit.NewProxy(t, e.Endpoint())
	cut, other := opened(t, Config{Hosts: []string{proxy.Addr()}}), opened(t, Config{Client: e.Client()})
	old := campaigned(t, cut, "old", ttl)
	proxy.Freeze()
	began := time.Now()
	late := make(chan error, 1)
	go func() { late <- write(t, cut, old.Fence(), "late") }()
	var next *Leadership
	testkit.Eventually(t, "another core is elected", func() bool {
		held := old.Held()
		if next = campaigned(t, other, "new", ttl); next != nil && held && old.Held() {
			t.Error("two believe that they lead")
		}
		return next != nil
	})
	if took := time.Since(began); took > ttl+3*time.Second {
		t.Errorf("a new leader after %v, with a lease of %v", took, ttl)
	}
	if old.Context().Err() == nil || !errors.Is(context.Cause(old.Context()), errExpired) {
		t.Errorf("the old one goes on: %v", context.Cause(old.Context()))
	}
	proxy.Thaw()
	testkit.WantReason(t, <-late, fault.LeadershipLost)
	if err := old.Resign(t.Context()); err != nil {
		t.Error(err)
	}
	if err := write(t, other, next.Fence(), "new"); err != nil || !next.Held() {
		t.Errorf("the new one does not lead: %v", err)
	}
}

func TestALeadershipThatTheStoreHasEnded(t *testing.T) {
	t.Parallel()
	c := opened(t, Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client()})
	l := campaigned(t, c, "one", 3*time.Second) // it is renewed each second
	if _, err := c.client.Revoke(t.Context(), l.lease); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.Context().Done():
	case <-time.After(testkit.Patience):
		t.Fatal("its end goes unnoticed")
	}
	testkit.WantReason(t, write(t, c, l.Fence(), "late"), fault.LeadershipLost)
}

func TestALeadershipOutlivesItsTTL(t *testing.T) {
	t.Parallel()
	c := opened(t, Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client()})
	l := campaigned(t, c, "one", 3*time.Second)
	select {
	case <-l.Context().Done():
		t.Fatalf("it ended: %v", context.Cause(l.Context()))
	case <-time.After(5 * time.Second):
	}
	if err := write(t, c, l.Fence(), "one"); err != nil || !l.Held() {
		t.Error(err)
	}
	l.Lose("the test says so")
	if l.Held() || context.Cause(l.Context()).Error() != "the test says so" {
		t.Errorf("held %t, %v", l.Held(), context.Cause(l.Context()))
	}
}
