package mirror

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// alarm returns the alarm with a reason, nil if there is none.
func alarm(m *Mirror, reason fault.Reason) *fault.Error {
	for _, e := range m.Alarms() {
		if e.Reason == reason {
			return e
		}
	}
	return nil
}

// refuses checks that every kind of write fails with a reason.
func refuses(t *testing.T, s *testStore, reason fault.Reason) {
	t.Helper()
	ctx := storetest.Context(t)
	for what, write := range map[string]func() error{
		"publish": func() error {
			_, err := s.PublishService(ctx, storetest.Service("new", 1, storetest.Wasm("a")), 0)
			return err
		},
		"delete service":   func() error { _, err := s.DeleteService(ctx, "one"); return err },
		"create decorator": func() error { _, err := s.CreateDecorator(ctx, decorator("new")); return err },
		"update decorator": func() error {
			_, err := s.UpdateDecorator(ctx, store.Change{Decorator: decorator("small")})
			if errors.Is(err, fault.DecoratorNotFound) {
				return fault.New(reason, "")
			}
			return err
		},
		"delete decorator": func() error { _, err := s.DeleteDecorator(ctx, "other"); return err },
		"put module":       func() error { return s.PutModule(ctx, storetest.Module(storetest.Wasm("new")), storetest.Wasm("new")) },
	} {
		if err := write(); !errors.Is(err, reason) {
			t.Errorf("%s: %v, want %s", what, err, reason)
		}
	}
}

// filled returns a store with one service and its decorator, and a mirror of
// the store.
func filled(t *testing.T, cfg store.Config) (*testStore, *Mirror) {
	t.Helper()
	s := open(t, cfg)
	storetest.Put(t, s, storetest.Wasm("a"))
	for _, name := range []string{"small", "other"} {
		if _, err := s.CreateDecorator(storetest.Context(t), decorator(name)); err != nil {
			t.Fatal(err)
		}
	}
	one := storetest.Publish(t, s, storetest.Service("one", 1, storetest.Wasm("a"), "small"), 0)
	m := mirror(t, s)
	wait(t, m, one.GetVersion())
	return s, m
}

func TestAStoreThatComesBackEmptyIsAnAlarm(t *testing.T) {
	t.Parallel()
	var log testkit.Log
	dir := t.TempDir()
	e := etcdtest.Start(t, etcdembed.Config{Dir: filepath.Join(dir, "d"), ListenClient: "127.0.0.1:0"})
	s, m := filled(t, store.Config{Hosts: []string{e.Endpoint()}, Logger: log.Logger()})
	held := m.Snapshot()
	endpoint := e.Endpoint()
	etcdtest.Stop(t, e)

	e = etcdtest.Start(t, etcdembed.Config{Dir: filepath.Join(dir, "empty"), ListenClient: endpoint})
	testkit.Eventually(t, "there is an alarm", func() bool { return alarm(m, fault.StoreEmpty) != nil })
	testkit.WantReason(t, alarm(m, fault.StoreEmpty), fault.StoreEmpty, "1 service and 2 decorators", "--accept-empty")
	if m.Snapshot() != held {
		t.Error("memory was not kept")
	}
	refuses(t, s, fault.StoreEmpty)
	if got := strings.Count(log.String(), "reason=STORE_EMPTY"); got != 1 {
		t.Errorf("the alarm is logged %d times", got)
	}

	// That another core accepts the store does not make it right for this one.
	other := open(t, store.Config{Client: e.Client()})
	storetest.Put(t, other, storetest.Wasm("b"))
	storetest.Publish(t, other, storetest.Service("stranger", 1, storetest.Wasm("b")), 0)
	testkit.Eventually(t, "the alarm tells of a store that has other services", func() bool {
		e := alarm(m, fault.StoreEmpty)
		return e != nil && strings.Contains(e.Message, "none of them")
	})
	refuses(t, s, fault.StoreEmpty)
	etcdtest.Stop(t, e)

	// The operator restores the data.
	etcdtest.Start(t, etcdembed.Config{Dir: filepath.Join(dir, "d"), ListenClient: endpoint})
	testkit.Eventually(t, "the alarm ends", func() bool { return len(m.Alarms()) == 0 })
	wait(t, m, storetest.Publish(t, s, storetest.Service("two", 1, storetest.Wasm("a")), 0).GetVersion())
	if len(m.Snapshot().Services) != 2 {
		t.Errorf("services %v", m.Snapshot().Services)
	}
}

func TestAcceptEmptyTakesAnEmptyStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := etcdtest.Start(t, etcdembed.Config{Dir: filepath.Join(dir, "d"), ListenClient: "127.0.0.1:0"})
	s, m := filled(t, store.Config{Hosts: []string{e.Endpoint()}, AcceptEmpty: true})
	endpoint := e.Endpoint()
	etcdtest.Stop(t, e)
	etcdtest.Start(t, etcdembed.Config{Dir: filepath.Join(dir, "empty"), ListenClient: endpoint})
	testkit.Eventually(t, "the mirror is empty", func() bool { return len(m.Snapshot().Services) == 0 })
	testkit.Eventually(t, "the store takes writes", func() bool {
		return s.PutModule(storetest.Context(t), storetest.Module(storetest.Wasm("a")), storetest.Wasm("a")) == nil
	})
	wait(t, m, storetest.Publish(t, s, storetest.Service("new", 1, storetest.Wasm("a")), 0).GetVersion())
	if len(m.Alarms()) != 0 || m.Snapshot().Services["new"] == nil {
		t.Errorf("alarms %v, services %v", m.Alarms(), m.Snapshot().Services)
	}
}

// One range delete removes all keys of the cluster while the mirror watches.
func TestDeletingTheWholeClusterIsAnAlarm(t *testing.T) {
	s, m := filled(t, store.Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client()})
	held := m.Snapshot()
	if _, err := s.client.Delete(t.Context(), string(s.Cluster().Space()), clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	testkit.WantReason(t, s.PutModule(storetest.Context(t), storetest.Module(storetest.Wasm("new")), storetest.Wasm("new")), fault.StoreEmpty)
	testkit.Eventually(t, "there is an alarm", func() bool { return alarm(m, fault.StoreEmpty) != nil })
	if m.Snapshot() != held {
		t.Error("memory was not kept")
	}
	refuses(t, s, fault.StoreEmpty)
}

func TestDeletingTheLastServiceIsNoAlarm(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	e := etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: "127.0.0.1:0"})
	s := open(t, store.Config{Hosts: []string{e.Endpoint()}})
	storetest.Put(t, s, storetest.Wasm("a"))
	m := mirror(t, s)
	one := storetest.Publish(t, s, storetest.Service("one", 1, storetest.Wasm("a")), 0)
	wait(t, m, one.GetVersion())

	// Seen by the watch.
	gone, err := s.DeleteService(storetest.Context(t), "one")
	if err != nil {
		t.Fatal(err)
	}
	wait(t, m, gone)
	wait(t, m, storetest.Publish(t, s, storetest.Service("two", 1, storetest.Wasm("a")), 0).GetVersion())

	// While this core is away, and compacted before it can see it: the store is
	// the same one, at a later revision.
	endpoint := e.Endpoint()
	etcdtest.Stop(t, e)
	e = etcdtest.Start(t, etcdembed.Config{Dir: dir})
	direct := open(t, store.Config{Client: e.Client()})
	if _, err = direct.DeleteService(storetest.Context(t), "two"); err != nil {
		t.Fatal(err)
	}
	later, err := e.Client().Put(t.Context(), "/elsewhere", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Client().Compact(t.Context(), later.Header.Revision); err != nil {
		t.Fatal(err)
	}
	etcdtest.Stop(t, e)
	etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: endpoint})
	testkit.Eventually(t, "the mirror is empty", func() bool { return len(m.Snapshot().Services) == 0 })
	if alarms := m.Alarms(); len(alarms) != 0 {
		t.Errorf("alarms %v", alarms)
	}
	storetest.Publish(t, s, storetest.Service("three", 1, storetest.Wasm("a")), 0)
}

func TestANewerFormatStopsTheWritesOfARunningCore(t *testing.T) {
	s, m := filled(t, store.Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client()})
	key := s.Cluster().Space().Format()
	was, err := s.client.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := proto.Marshal(&storev1.Format{Number: 3})
	if err != nil {
		t.Fatal(err)
	}
	// A newer core migrates: number and values in one transaction.
	if _, err := s.client.Txn(t.Context()).Then(
		clientv3.OpPut(key, string(newer)),
		clientv3.OpPut("/ruedo/main/services/one", "\xff of the future"),
	).Commit(); err != nil {
		t.Fatal(err)
	}
	// From the very next write on, whether the mirror has noticed or not.
	refuses(t, s, fault.StoreFormat)
	testkit.Eventually(t, "there is an alarm", func() bool { return alarm(m, fault.StoreFormat) != nil })
	refuses(t, s, fault.StoreFormat)
	if m.Snapshot().Services["one"] == nil || m.Snapshot().Fault(keys.KindService, "one") != nil {
		t.Error("what the newer format wrote was read")
	}
	// And back.
	if _, err := s.client.Txn(t.Context()).Then(
		clientv3.OpPut(key, string(was.Kvs[0].Value)),
		clientv3.OpDelete("/ruedo/main/services/one"),
	).Commit(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the alarm ends", func() bool { return len(m.Alarms()) == 0 })
	storetest.Publish(t, s, storetest.Service("two", 1, storetest.Wasm("a")), 0)
}

func TestACoreStartsOnAFullStoreAndWritesWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	e := etcdtest.Start(t, etcdembed.Config{Dir: filepath.Join(t.TempDir(), "d"), QuotaBytes: 1 << 20, ListenClient: "127.0.0.1:0"})
	_, _ = filled(t, store.Config{Client: e.Client()})
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for i := 0; err == nil && i < 1000; i++ {
		_, err = c.Put(t.Context(), fmt.Sprint("k", i), strings.Repeat("v", 32<<10))
	}
	for _, cluster := range []string{"main", "new"} { // with a format, and without
		var log testkit.Log
		s := open(t, store.Config{Client: e.Client(), Cluster: cluster, Logger: log.Logger()})
		m := mirror(t, s)
		testkit.Eventually(t, "there is an alarm", func() bool { return alarm(m, fault.StoreFull) != nil })
		if got := len(m.Snapshot().Services); cluster == "main" && got != 1 {
			t.Errorf("%d services", got)
		}
		_, err := s.CreateDecorator(storetest.Context(t), decorator("big"))
		testkit.WantReason(t, err, fault.StoreFull, "compact and defragment")
		testkit.Eventually(t, "it is logged", func() bool { return strings.Contains(log.String(), "the store is full") })
		if got := strings.Count(log.String(), "the store is full"); got != 1 {
			t.Errorf("it is logged %d times", got)
		}
		defer func() {
			testkit.Eventually(t, "the alarm ends", func() bool { return len(m.Alarms()) == 0 })
			if _, err := s.CreateDecorator(storetest.Context(t), decorator("big")); err != nil {
				t.Errorf("%s: %v", cluster, err)
			}
		}()
	}
	gone, err := c.Delete(t.Context(), "k", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compact(t.Context(), gone.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Defragment(t.Context(), e.Endpoint()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsAcknowledgedOnceTheDataDirectoryIsGone(t *testing.T) {
	var gone atomic.Bool
	s, m := filled(t, store.Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client(), Check: func() error {
		if gone.Load() {
			return fault.New(fault.DataDirLost, "data directory d is gone").WithFix("restore it")
		}
		return nil
	}})
	gone.Store(true)
	refuses(t, s, fault.DataDirLost)
	testkit.Eventually(t, "there is an alarm", func() bool { return alarm(m, fault.DataDirLost) != nil })
	if m.Snapshot().Services["one"] == nil {
		t.Error("memory was not kept")
	}
	if _, err := s.Service(t.Context(), "one"); err != nil {
		t.Errorf("reads do not go on: %v", err)
	}
}

func TestUnreadableValuesKeepTheLastGoodOne(t *testing.T) {
	var log testkit.Log
	s, m := filled(t, store.Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client(), Logger: log.Logger()})
	held := m.Snapshot()
	var last int64
	for _, key := range []string{"services/one", "decorators/small"} {
		r, err := s.client.Put(t.Context(), "/ruedo/main/"+key, "\xff\xff\xff")
		if err != nil {
			t.Fatal(err)
		}
		last = r.Header.Revision
	}
	wait(t, m, last)
	m.listAgain(errRelist) // listing finds them again
	wait(t, m, storetest.Publish(t, s, storetest.Service("two", 1, storetest.Wasm("a")), 0).GetVersion())
	testkit.Eventually(t, "both are an alarm", func() bool { return alarm(m, fault.Integrity) != nil })
	testkit.WantReason(t, alarm(m, fault.Integrity), fault.Integrity, "2 values", "decorator small, service one")
	storetest.Same(t, m.Snapshot().Services["one"], held.Services["one"])
	storetest.Same(t, m.Snapshot().Decorators["small"], held.Decorators["small"])
	if got := strings.Count(log.String(), "cannot be read; its last readable value"); got != 2 {
		t.Errorf("logged %d times, want once for each value:\n%s", got, log.String())
	}

	// A core that starts now has no good value: it fails with INTEGRITY for
	// these two only.
	late := mirror(t, open(t, store.Config{Client: s.client}))
	testkit.WantReason(t, late.Snapshot().Fault(keys.KindService, "one"), fault.Integrity, "publish the service again")
	testkit.WantReason(t, late.Snapshot().Fault(keys.KindDecorator, "small"), fault.Integrity, "write the decorator again")
	if late.Snapshot().Fault(keys.KindService, "two") != nil || late.Snapshot().Services["two"] == nil || late.Snapshot().Decorators["other"] == nil {
		t.Error("others are affected")
	}
	_, err := s.Service(t.Context(), "one")
	testkit.WantReason(t, err, fault.Integrity)
	_, err = s.Decorator(t.Context(), "small")
	testkit.WantReason(t, err, fault.Integrity)
	// The last good value counts, if there is one.
	_, err = s.DeleteDecorator(storetest.Context(t), "small")
	testkit.WantReason(t, err, fault.DecoratorInUse, "one")
	// One unreadable service does not prevent the deletion of other services'
	// decorators.
	if _, err := s.DeleteDecorator(storetest.Context(t), "other"); err != nil {
		t.Error(err)
	}

	// The repair: an update, and a publish that continues with the numbers.
	d, err := s.UpdateDecorator(storetest.Context(t), store.Change{Decorator: decorator("small")})
	if err != nil {
		t.Fatal(err)
	}
	live, err := s.Published(t.Context(), "one")
	if err != nil || live.GetLatest() != 1 || live.GetVersion() == 0 || live.GetRevision() != nil {
		t.Fatalf("%v, %v", live, err)
	}
	svc := storetest.Publish(t, s, storetest.Service("one", 2, storetest.Wasm("a"), "small"), live.GetVersion())
	for _, m := range []*Mirror{m, late} {
		wait(t, m, svc.GetVersion())
		storetest.Same(t, m.Snapshot().Services["one"], svc)
		storetest.Same(t, m.Snapshot().Decorators["small"], d)
		if len(m.Alarms()) != 0 {
			t.Errorf("alarms %v", m.Alarms())
		}
	}
}
