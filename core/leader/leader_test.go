package leader_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/leader"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// core is as much of a core as an election needs.
type core struct {
	*leader.Elector
	id     string
	store  *store.Store
	mirror *mirror.Mirror
	unfit  atomic.Bool
	terms  atomic.Int64 // how often it has led
	leads  atomic.Bool  // Lead is running
	fence  atomic.Pointer[fleet.Fence]
}

// A short lease is one whose end a test waits for. A leadership that is handed
// over before a long one can end was not lost.
const (
	ttl     = 2 * time.Second
	longTTL = 10 * time.Second
)

func start(t *testing.T, id string, cfg store.Config, ttl time.Duration) *core {
	t.Helper()
	cfg.Cluster = "main"
	c := &core{id: id}
	var err error
	if c.store, err = store.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.store.Close() })
	if c.mirror, err = mirror.Open(t.Context(), mirror.Config{Store: c.store}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.mirror.Close() })
	self := &ruedov1.Core{Id: id, Url: "http://" + id}
	entry, err := c.store.Cluster().RegisterCore(t.Context(), self, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = entry.Close(context.Background()) })
	c.Elector = leader.New(leader.Config{
		Store: c.store, Mirror: c.mirror, Self: self, TTL: ttl, HandoverWait: time.Second,
		Fit: func() error {
			if c.unfit.Load() || c.mirror.Stale() {
				return errors.New("it is sick")
			}
			return nil
		},
		Lead: func(ctx context.Context, fence fleet.Fence) {
			c.terms.Add(1)
			c.fence.Store(&fence)
			c.leads.Store(true)
			<-ctx.Done()
			c.leads.Store(false)
		},
	})
	c.Start()
	t.Cleanup(c.Close)
	return c
}

// one waits until exactly one core leads, which all name, and returns it.
func one(t *testing.T, cores ...*core) *core {
	t.Helper()
	var found *core
	testkit.Eventually(t, "one core leads, and all say so", func() bool {
		found = nil
		for _, c := range cores {
			if c.Leads() && c.leads.Load() {
				if found != nil {
					t.Fatalf("%s and %s lead", found.id, c.id)
				}
				found = c
			}
		}
		for _, c := range cores {
			if found == nil || c.Leader().GetCore() != found.id {
				return false
			}
		}
		return true
	})
	return found
}

func others(all []*core, not *core) (rest []*core) {
	for _, c := range all {
		if c != not {
			rest = append(rest, c)
		}
	}
	return rest
}

// record makes a write that only the leader may make.
func (c *core) record(ctx context.Context, fence fleet.Fence) error {
	return c.store.PutJobRecord(ctx, fence, "test", &storev1.JobRecord{Last: &ruedov1.JobRun{Core: c.id}})
}

func three(t *testing.T) []*core {
	client := etcdtest.Start(t, etcdembed.Config{}).Client()
	var all []*core
	for i := range 3 {
		all = append(all, start(t, fmt.Sprint("core-", i), store.Config{Client: client}, longTTL))
	}
	testkit.Eventually(t, "all cores know each other", func() bool {
		return !slices.ContainsFunc(all, func(c *core) bool { return len(c.mirror.Snapshot().Cores) < len(all) })
	})
	return all
}

func TestTheLeadershipIsHandedOver(t *testing.T) {
	all := three(t)
	first := one(t, all...)
	asked := others(all, first)[0] // any core takes the order
	to := others(all, first)[1]
	next, previous, err := asked.Yield(storetest.Context(t), to.id)
	if err != nil || next.GetCore() != to.id || previous != first.id || next.GetUrl() != "http://"+to.id {
		t.Fatalf("%v, %s, %v", next, previous, err)
	}
	if got := one(t, all...); got != to {
		t.Fatalf("%s leads", got.id)
	}
	if first.Leads() || first.leads.Load() {
		t.Error("the first one goes on")
	}
	testkit.WantReason(t, first.record(t.Context(), *first.fence.Load()), fault.LeadershipLost)
	if err := to.record(t.Context(), *to.fence.Load()); err != nil {
		t.Error(err)
	}
	// To itself: nothing changes.
	same, previous, err := to.Yield(storetest.Context(t), to.id)
	if err != nil || same.GetTerm() != next.GetTerm() || previous != to.id {
		t.Errorf("%v, %s, %v", same, previous, err)
	}
	// To any other: not to the one that leads.
	if next, _, err = to.Yield(storetest.Context(t), ""); err != nil || next.GetCore() == to.id {
		t.Errorf("%v, %v", next, err)
	}
	one(t, all...)
	for what, ask := range map[string]struct {
		to   string
		want fault.Reason
		says string
	}{
		"a core that is not there": {"core-9", fault.CoreNotFound, "did you mean core-"},
		"garbage":                  {"\x00/../", fault.CoreNotFound, "list the cores"},
	} {
		_, _, err := asked.Yield(storetest.Context(t), ask.to)
		if err == nil {
			t.Fatalf("%s: accepted", what)
		}
		testkit.WantReason(t, err, ask.want, ask.says)
	}
	one(t, all...)
}

func TestACoreThatIsNotFitDoesNotLead(t *testing.T) {
	all := three(t)
	first := one(t, all...)
	first.unfit.Store(true)
	began := time.Now()
	testkit.Eventually(t, "another core leads", func() bool { return others(all, first)[0].Leads() || others(all, first)[1].Leads() })
	if took := time.Since(began); took > longTTL/2 {
		t.Errorf("after %v: it did not give the leadership up, but lost it", took)
	}
	second := one(t, all...)
	// An order to a core that is not fit is carried out by another one.
	_, _, err := second.Yield(storetest.Context(t), first.id)
	testkit.WantReason(t, err, fault.NoSuccessor, "core "+first.id+" did not take over")
	one(t, all...)
}

func TestTheLastCoreKeepsTheLeadership(t *testing.T) {
	c := start(t, "only", store.Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client()}, longTTL)
	one(t, c)
	_, _, err := c.Yield(storetest.Context(t), "")
	testkit.WantReason(t, err, fault.NoSuccessor, "core only is the only one")
	if !c.Leads() {
		t.Error("it has given the leadership up")
	}
}

func TestACoreThatGoesDownResignsFirst(t *testing.T) {
	all := three(t)
	for len(all) > 1 {
		first := one(t, all...)
		all = others(all, first)
		began := time.Now()
		first.Close()
		one(t, all...)
		if took := time.Since(began); took > longTTL/2 {
			t.Errorf("a new leader after %v", took)
		}
		if first.Leads() || first.Leader().GetCore() == first.id {
			t.Error("it says that it leads after it has closed")
		}
	}
	all[0].Close()
	testkit.Eventually(t, "nobody leads", func() bool { return all[0].Leader() == nil })
	_, _, err := all[0].Yield(storetest.Context(t), "")
	testkit.WantReason(t, err, fault.NoLeader)
}

// A leader whose connection is cut stops by its own clock, before another core
// leads; its late write is refused, and it can lead again.
func TestALeaderThatIsCutOffIsReplaced(t *testing.T) {
	t.Parallel()
	e := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	proxy := testkit.NewProxy(t, e.Endpoint())
	cut := start(t, "cut", store.Config{Hosts: []string{proxy.Addr()}}, ttl)
	one(t, cut)
	other := start(t, "other", store.Config{Client: e.Client()}, ttl)
	fence := *cut.fence.Load()
	proxy.Freeze()
	began := time.Now()
	testkit.Eventually(t, "another core leads", func() bool {
		was := cut.Leads() && cut.leads.Load()
		now := other.Leads()
		if was && now && cut.Leads() {
			t.Error("two lead at a time")
		}
		return now
	})
	t.Logf("another core leads after %v, with a lease of %v", time.Since(began), ttl)
	if took := time.Since(began); took > ttl+3*time.Second {
		t.Errorf("after %v", took)
	}
	testkit.Eventually(t, "the old leader has stopped", func() bool { return !cut.leads.Load() })
	proxy.Thaw()
	testkit.Eventually(t, "the old leader hears of the new one", func() bool { return cut.Leader().GetCore() == "other" })
	testkit.WantReason(t, cut.record(t.Context(), fence), fault.LeadershipLost)
	if _, _, err := cut.Yield(storetest.Context(t), "cut"); err != nil {
		t.Fatal(err)
	}
	if got := one(t, cut, other); got != cut || cut.terms.Load() < 2 {
		t.Errorf("%s leads, after %d terms of the first", got.id, cut.terms.Load())
	}
}

// Somebody removes the leader's key: nobody goes on as if it were there.
func TestALeaderWhoseKeyIsGoneStops(t *testing.T) {
	client := etcdtest.Start(t, etcdembed.Config{}).Client()
	c := start(t, "one", store.Config{Client: client}, longTTL)
	one(t, c)
	if _, err := client.Delete(t.Context(), "/ruedo/main/leader/cluster"); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it is elected again", func() bool { return c.terms.Load() == 2 && c.Leads() })
}
