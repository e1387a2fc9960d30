package mirror

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/packed"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func mirror(t *testing.T, s *testStore) *Mirror {
	t.Helper()
	m, err := Open(t.Context(), Config{Store: s.Store, Logger: s.logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// wait calls Wait with a test's deadline.
func wait(t *testing.T, m *Mirror, revision int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if err := m.Wait(ctx, revision); err != nil {
		t.Fatalf("revision %d: %v; the mirror is at %d", revision, err, m.applied.Load())
	}
}

// member writes a runner or a core as its membership would.
func member(t *testing.T, s *testStore, key string, v proto.Message) int64 {
	t.Helper()
	b, err := proto.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.client.Put(t.Context(), string(s.Cluster().Space())+key, string(b))
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

func TestMirrorLoadsAndFollows(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	one := storetest.Publish(t, s, storetest.Service("one", 1, storetest.Wasm("a")), 0)
	m := mirror(t, s)
	storetest.Same(t, m.Snapshot().Services["one"], one)
	if m.Snapshot().Revision < one.GetVersion() {
		t.Errorf("snapshot of revision %d", m.Snapshot().Revision)
	}

	d, err := s.CreateDecorator(storetest.Context(t), decorator("small"))
	if err != nil {
		t.Fatal(err)
	}
	old := m.Snapshot()
	two := storetest.Publish(t, s, storetest.Service("two", 1, storetest.Wasm("a"), "small"), 0)
	wait(t, m, two.GetVersion())
	storetest.Same(t, m.Snapshot().Services["two"], two)
	storetest.Same(t, m.Snapshot().Decorators["small"], d)
	if _, ok := old.Services["two"]; ok {
		t.Error("a snapshot has changed")
	}
	member(t, s, "cores/c1", &ruedov1.Core{Url: "u"})
	wait(t, m, member(t, s, "runners/r1", &ruedov1.Runner{Id: "a lie", Host: "h"}))
	storetest.Same(t, m.Snapshot().Runners["r1"], &ruedov1.Runner{Id: "r1", Host: "h"})
	storetest.Same(t, m.Snapshot().Cores["c1"], &ruedov1.Core{Id: "c1", Url: "u"})

	gone, err := s.DeleteService(storetest.Context(t), "two")
	if err != nil {
		t.Fatal(err)
	}
	wait(t, m, gone)
	if _, ok := m.Snapshot().Services["two"]; ok {
		t.Error("a deleted service is there")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, m.Snapshot().Services["one"], one) // the last snapshot stays
	if err := m.Wait(t.Context(), gone+100); err == nil {
		t.Error("a closed mirror has seen the future")
	}
}

// Most of what a catalog takes in memory are schemas that nobody reads.
func TestMirrorKeepsSchemasPacked(t *testing.T) {
	s := fresh(t)
	d := decorator("d")
	d.InputSchema = &structpb.Struct{Fields: map[string]*structpb.Value{"type": structpb.NewStringValue("object")}}
	stored, err := s.CreateDecorator(storetest.Context(t), d)
	if err != nil {
		t.Fatal(err)
	}
	m := mirror(t, s)
	wait(t, m, stored.GetVersion())
	got := m.Snapshot().Decorators["d"]
	if got.GetInputSchema() != nil || !proto.Equal(packed.Open(got), stored) {
		t.Errorf("got %v, opened %v, want %v", got, packed.Open(got), stored)
	}
}

func TestReadYourPublish(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	m := mirror(t, s)
	version := int64(0)
	const publishes = 100
	var waited time.Duration
	for n := range uint64(publishes) {
		svc := storetest.Publish(t, s, storetest.Service("greet", n+1, storetest.Wasm("a")), version)
		version = svc.GetVersion()
		began := time.Now()
		wait(t, m, version)
		waited += time.Since(began)
		if got := m.Snapshot().Services["greet"].GetVersion(); got < version {
			t.Fatalf("sees version %d after waiting for %d", got, version)
		}
	}
	if mean := waited / publishes; mean > beatEvery/2 {
		t.Errorf("waited %v for a publish: for a heartbeat", mean)
	}
}

func TestWaitForRevisionsOfOthersKeys(t *testing.T) {
	s := fresh(t)
	m := mirror(t, s)
	before := m.Snapshot()
	const puts = 20
	var waited time.Duration
	for range puts {
		r, err := s.client.Put(t.Context(), "/elsewhere", "x")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		wait(t, m, r.Header.Revision)
		waited += time.Since(began)
	}
	if mean := waited / puts; mean > beatEvery/2 {
		t.Errorf("waited %v for what touches none of the mirror's keys: for a heartbeat", mean)
	}
	if m.Snapshot() != before {
		t.Error("the snapshot was replaced, with nothing in it changed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := m.Wait(ctx, 1<<40); err != context.DeadlineExceeded {
		t.Errorf("the future gives %v", err)
	}
}

func TestChangedTellsOfEachChange(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	m := mirror(t, s)
	for i := range 20 {
		name := fmt.Sprint("s", i)
		changed := m.Changed()
		storetest.Publish(t, s, storetest.Service(name, 1, storetest.Wasm("a")), 0)
		select {
		case <-changed:
		case <-time.After(testkit.Patience):
			t.Fatal("no change is told")
		}
		if _, ok := m.Snapshot().Services[name]; !ok {
			t.Fatalf("told of a change without %s", name)
		}
	}
}

// A service never becomes visible before its decorators, whichever watch is
// faster.
func TestServicesDoNotShowBeforeTheirDecorators(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	m := mirror(t, s)
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			changed := m.Changed()
			snap := m.Snapshot()
			for name, svc := range snap.Services {
				for _, d := range svc.GetRevision().GetDecorators() {
					if _, ok := snap.Decorators[d]; !ok {
						t.Errorf("service %s shows without decorator %s", name, d)
						return
					}
				}
				if svc.GetVersion() > snap.Revision {
					t.Errorf("snapshot of revision %d holds version %d", snap.Revision, svc.GetVersion())
				}
			}
			select {
			case <-changed:
			case <-done:
				return
			}
		}
	})
	var last int64
	for i := range 200 {
		name := fmt.Sprint("x", i)
		if _, err := s.CreateDecorator(storetest.Context(t), decorator(name)); err != nil {
			t.Fatal(err)
		}
		last = storetest.Publish(t, s, storetest.Service(name, 1, storetest.Wasm("a"), name), 0).GetVersion()
	}
	wait(t, m, last)
	close(done)
	wg.Wait()
	if n := len(m.Snapshot().Services); n != 200 {
		t.Errorf("%d services, want 200", n)
	}
}

func TestMirrorLeavesOutWhatItCannotRead(t *testing.T) {
	var log testkit.Log
	s := open(t, store.Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client(), Logger: log.Logger()})
	storetest.Put(t, s, storetest.Wasm("a"))
	storetest.Publish(t, s, storetest.Service("good", 1, storetest.Wasm("a")), 0)
	storetest.Publish(t, s, storetest.Service("spoilt", 1, storetest.Wasm("a")), 0)
	hostile := []string{"services/../x", "services/a/b", "services/UP", "decorators/\x00", "runners/" + strings.Repeat("x", 10<<10)}
	for i, m := range []*Mirror{mirror(t, s), nil} {
		for _, key := range append(hostile, "services/spoilt", "runners/broken", "cores/broken", "decorators/broken") {
			if _, err := s.client.Put(t.Context(), "/ruedo/main/"+key, "\xff\xff\xff"); err != nil {
				t.Fatal(err)
			}
		}
		if m == nil {
			m = mirror(t, s) // lists them instead of seeing the events
		}
		wait(t, m, storetest.Publish(t, s, storetest.Service(fmt.Sprint("last", i), 1, storetest.Wasm("a")), 0).GetVersion())
		snap := m.Snapshot()
		// The mirror that knew service spoilt keeps it; the other one has last0.
		if _, ok := snap.Services["good"]; !ok || len(snap.Services) != 3 || len(snap.Runners)+len(snap.Cores)+len(snap.Decorators) != 0 {
			t.Errorf("snapshot is %v", snap)
		}
	}
	if strings.Contains(log.String(), "xff") || strings.Contains(log.String(), strings.Repeat("x", 200)) {
		t.Error("the log repeats values or hostile keys at length")
	}
}

func TestMirrorSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	var log testkit.Log
	dir := filepath.Join(t.TempDir(), "d")
	e := etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: "127.0.0.1:0"})
	s := open(t, store.Config{Hosts: []string{e.Endpoint()}, Logger: log.Logger()})
	storetest.Put(t, s, storetest.Wasm("a"))
	one := storetest.Publish(t, s, storetest.Service("one", 1, storetest.Wasm("a")), 0)
	m := mirror(t, s)
	if m.Stale() || m.Age() > 2*time.Second {
		t.Errorf("stale %t, age %v at the start", m.Stale(), m.Age())
	}
	endpoint := e.Endpoint()
	etcdtest.Stop(t, e)
	testkit.Eventually(t, "the mirror is stale", m.Stale)
	storetest.Same(t, m.Snapshot().Services["one"], one)
	_, err := s.PublishService(storetest.Context(t), storetest.Service("two", 1, storetest.Wasm("a")), 0)
	testkit.WantReason(t, err, fault.StoreUnavailable)

	e = etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: endpoint})
	testkit.Eventually(t, "the mirror is fresh", func() bool { return !m.Stale() })
	direct := open(t, store.Config{Client: e.Client()})
	wait(t, m, storetest.Publish(t, direct, storetest.Service("three", 1, storetest.Wasm("a")), 0).GetVersion())
	if len(m.Snapshot().Services) != 2 {
		t.Errorf("services %v", m.Snapshot().Services)
	}
	if got := log.String(); strings.Count(got, "the store does not answer") != 1 {
		t.Errorf("the outage is to be told once:\n%s", got)
	}
}

func TestMirrorSurvivesCompaction(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	e := etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: "127.0.0.1:0"})
	s := open(t, store.Config{Hosts: []string{e.Endpoint()}})
	storetest.Put(t, s, storetest.Wasm("a"))
	storetest.Publish(t, s, storetest.Service("kept", 1, storetest.Wasm("a")), 0)
	storetest.Publish(t, s, storetest.Service("removed", 1, storetest.Wasm("a")), 0)
	m := mirror(t, s)
	endpoint := e.Endpoint()
	etcdtest.Stop(t, e)

	// What happens now is compacted before the mirror can see it.
	e = etcdtest.Start(t, etcdembed.Config{Dir: dir})
	direct := open(t, store.Config{Client: e.Client()})
	if _, err := direct.DeleteService(storetest.Context(t), "removed"); err != nil {
		t.Fatal(err)
	}
	last := storetest.Publish(t, direct, storetest.Service("added", 1, storetest.Wasm("a")), 0).GetVersion()
	if _, err := e.Client().Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	etcdtest.Stop(t, e)

	e = etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: endpoint})
	wait(t, m, last)
	if got := m.Snapshot().Services; len(got) != 2 || got["kept"] == nil || got["added"] == nil {
		t.Errorf("services %v", got)
	}
	direct = open(t, store.Config{Client: e.Client()})
	wait(t, m, storetest.Publish(t, direct, storetest.Service("later", 1, storetest.Wasm("a")), 0).GetVersion())
	if m.Snapshot().Services["later"] == nil {
		t.Error("does not follow after it listed again")
	}
}

func TestMirrorSurvivesCompactionUnderItsWatch(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	m := mirror(t, s)
	version := int64(0)
	for n := range uint64(50) {
		version = storetest.Publish(t, s, storetest.Service("greet", n+1, storetest.Wasm("a")), version).GetVersion()
		if _, err := s.client.Compact(t.Context(), version); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, m, version)
	if got := m.Snapshot().Services["greet"].GetVersion(); got != version {
		t.Errorf("version %d, want %d", got, version)
	}
}

// The store comes back with less than the mirror has seen, as after restoring a
// backup.
func TestMirrorFollowsAStoreThatWentBack(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	e := etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: "127.0.0.1:0"})
	s := open(t, store.Config{Hosts: []string{e.Endpoint()}})
	storetest.Put(t, s, storetest.Wasm("a"))
	for i := range 20 {
		storetest.Publish(t, s, storetest.Service(fmt.Sprint("s", i), 1, storetest.Wasm("a")), 0)
	}
	m := mirror(t, s)
	endpoint := e.Endpoint()
	etcdtest.Stop(t, e)
	e = etcdtest.Start(t, etcdembed.Config{Dir: dir + "-backup", ListenClient: endpoint})
	direct := open(t, store.Config{Client: e.Client()})
	storetest.Put(t, direct, storetest.Wasm("a"))
	storetest.Publish(t, direct, storetest.Service("s7", 1, storetest.Wasm("a")), 0)
	testkit.Eventually(t, "the mirror is of the store that there is", func() bool {
		got := m.Snapshot().Services
		return len(got) == 1 && got["s7"] != nil
	})
	storetest.Publish(t, direct, storetest.Service("next", 1, storetest.Wasm("a")), 0)
	testkit.Eventually(t, "the mirror follows it", func() bool { return m.Snapshot().Services["next"] != nil })
}

// An older copy that has been written to is at a later revision than the mirror,
// so neither its revision nor a watch shows that it is another one. It can be
// there before the first heartbeat, and while the watches wait for the store.
func TestMirrorFollowsAnOlderCopyThatHasMovedOn(t *testing.T) {
	t.Parallel()
	s, swap := replaceable(t)
	m := mirror(t, s)
	swap(func() { testkit.Eventually(t, "the mirror is stale", m.Stale) })
	testkit.Eventually(t, "the mirror shows what the store has", func() bool {
		return m.Snapshot().Services["one"].GetRevision().GetNumber() == 1
	})
}

func TestHeartbeatNoticesAnOlderCopyThatHasMovedOn(t *testing.T) {
	t.Parallel()
	s, swap := replaceable(t)
	m := newMirror(s.Cluster(), s.Guard(), s.logger)
	if err := m.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	swap(func() {})
	ctx, stop := context.WithCancel(t.Context())
	m.wg.Go(func() { m.heartbeat(ctx) })
	defer m.wg.Wait()
	defer stop()
	select {
	case err := <-m.relist:
		if err != errReturned {
			t.Error(err)
		}
	case <-time.After(testkit.Patience):
		t.Error("a heartbeat takes the older copy for the store that was listed")
	}
}

// replaceable returns a store that holds revision 2 of a service, and a function
// that stops its etcd, calls between, and starts an older copy in its place, which
// holds revision 1 and has been written to since.
func replaceable(t *testing.T) (s *testStore, swap func(between func())) {
	t.Helper()
	dir, older := filepath.Join(t.TempDir(), "d"), filepath.Join(t.TempDir(), "older")
	e := etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: "127.0.0.1:0"})
	endpoint := e.Endpoint()
	s = open(t, store.Config{Hosts: []string{endpoint}})
	storetest.Put(t, s, storetest.Wasm("a"))
	first := storetest.Publish(t, s, storetest.Service("one", 1, storetest.Wasm("a")), 0)
	etcdtest.Stop(t, e)
	if err := os.CopyFS(older, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	e = etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: endpoint})
	storetest.Publish(t, s, storetest.Service("one", 2, storetest.Wasm("a")), first.GetVersion())
	return s, func(between func()) {
		etcdtest.Stop(t, e)
		between()
		e = etcdtest.Start(t, etcdembed.Config{Dir: older, ListenClient: "127.0.0.1:0"})
		for range 50 {
			if _, err := e.Client().Put(t.Context(), "elsewhere", "x"); err != nil {
				t.Fatal(err)
			}
		}
		etcdtest.Stop(t, e)
		etcdtest.Start(t, etcdembed.Config{Dir: older, ListenClient: endpoint})
	}
}

// The older copy takes over at once, in the same term of etcd and at a later
// revision, so that only the lost connection shows that it is another store.
func TestMirrorFollowsAnOlderCopyThatTakesOverAtOnce(t *testing.T) {
	t.Parallel()
	s, takeOver := overtaken(t)
	m := mirror(t, s)
	watched, err := s.CreateDecorator(storetest.Context(t), decorator("lost")) // the watches have begun
	if err != nil {
		t.Fatal(err)
	}
	wait(t, m, watched.GetVersion())
	takeOver()
	testkit.Eventually(t, "the mirror shows what the store has", func() bool {
		at := m.Snapshot()
		return at.Services["one"].GetRevision().GetNumber() == 1 && at.Decorators["lost"] == nil
	})
	wait(t, m, storetest.Publish(t, s, storetest.Service("two", 1, storetest.Wasm("a")), 0).GetVersion())
	if m.Snapshot().Services["two"] == nil || m.Stuck() != 0 {
		t.Errorf("it shows %v, and was stuck %d times", m.Snapshot().Services, m.Stuck())
	}
}

// What is watched after a list is of the store that was listed.
func TestAStoreThatIsReplacedAfterItWasListedIsNotWatched(t *testing.T) {
	t.Parallel()
	s, takeOver := overtaken(t)
	m := newMirror(s.Cluster(), s.Guard(), s.logger)
	if err := m.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	takeOver()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if err := m.follow(ctx); ctx.Err() != nil {
		t.Errorf("it was watched: %v", err)
	}
}

// overtaken returns a store that holds revision 2 of a service, and a function
// that has an older copy of it take over without a pause: it holds revision 1, is in
// the same term, and at a later revision.
func overtaken(t *testing.T) (s *testStore, takeOver func()) {
	t.Helper()
	dir, older := filepath.Join(t.TempDir(), "d"), filepath.Join(t.TempDir(), "older")
	start := func(dir string) *etcdembed.Server {
		return etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: "127.0.0.1:0"})
	}
	e := start(dir)
	p := testkit.NewProxy(t, e.Endpoint())
	s = open(t, store.Config{Hosts: []string{p.Addr()}})
	storetest.Put(t, s, storetest.Wasm("a"))
	first := storetest.Publish(t, s, storetest.Service("one", 1, storetest.Wasm("a")), 0)
	etcdtest.Stop(t, e)
	if err := os.CopyFS(older, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	e = start(dir)
	p.Redirect(e.Endpoint())
	storetest.Publish(t, s, storetest.Service("one", 2, storetest.Wasm("a")), first.GetVersion())
	other := start(older)
	return s, func() {
		t.Helper()
		at, err := e.Client().Get(t.Context(), "elsewhere")
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			now, err := other.Client().Put(t.Context(), "elsewhere", "x")
			if err != nil || now.Header.RaftTerm != at.Header.RaftTerm {
				t.Fatalf("the copy is in term %d, the store in %d: %v", now.Header.RaftTerm, at.Header.RaftTerm, err)
			}
		}
		p.Redirect(other.Endpoint())
	}
}

func TestOpenMirrorWithoutAStore(t *testing.T) {
	t.Parallel()
	e := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	s := open(t, store.Config{Hosts: []string{e.Endpoint()}})
	etcdtest.Stop(t, e)
	m, err := Open(t.Context(), Config{Store: s.Store, Logger: s.logger})
	if m != nil {
		_ = m.Close()
	}
	testkit.WantReason(t, err, fault.StoreUnavailable)
}

// Readers, waiters and writers run at the same time, for the race detector.
func TestMirrorHammer(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	m := mirror(t, s)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			name, version := fmt.Sprint("s", w), int64(0)
			for n := range uint64(40) {
				svc, err := s.PublishService(storetest.Context(t), storetest.Service(name, n+1, storetest.Wasm("a")), version)
				if err != nil {
					t.Error(err)
					return
				}
				version = svc.GetVersion()
				if err := m.Wait(t.Context(), version); err != nil {
					t.Error(err)
				}
				snap := m.Snapshot()
				if got := snap.Services[name].GetVersion(); got != version {
					t.Errorf("%s is at version %d, want %d", name, got, version)
				}
				if m.Age() < 0 || m.Stale() {
					t.Error("stale")
				}
			}
		})
	}
	wg.Wait()
}

func TestClustersDoNotSeeEachOther(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	team := open(t, store.Config{Client: e.Client(), Cluster: "team"})
	team2 := open(t, store.Config{Client: e.Client(), Cluster: "team-2"})
	m := mirror(t, team)
	storetest.Put(t, team2, storetest.Wasm("a"))
	if _, err := team2.CreateDecorator(storetest.Context(t), decorator("small")); err != nil {
		t.Fatal(err)
	}
	svc := storetest.Publish(t, team2, storetest.Service("greet", 1, storetest.Wasm("a"), "small"), 0)
	for _, key := range []string{"runners/r", "cores/c"} {
		if _, err := e.Client().Put(t.Context(), "/ruedo/team-2/"+key, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Wait(t.Context(), svc.GetVersion()+2); err != nil {
		t.Fatal(err)
	}
	for _, snap := range []*Snapshot{m.Snapshot(), mirror(t, team).Snapshot()} {
		if n := len(snap.Services) + len(snap.Decorators) + len(snap.Runners) + len(snap.Cores); n != 0 {
			t.Errorf("team sees %d things of team-2", n)
		}
	}
	_, err := team.Service(t.Context(), "greet")
	testkit.WantReason(t, err, fault.ServiceNotFound, "list the services") // no suggestion either
	_, err = team.StatModule(t.Context(), storetest.Digest(storetest.Wasm("a")))
	testkit.WantReason(t, err, fault.ModuleNotFound)
	_, err = team.ReadModule(t.Context(), storetest.Digest(storetest.Wasm("a")))
	testkit.WantReason(t, err, fault.ModuleNotFound)
	_, err = team.Decorator(t.Context(), "small")
	testkit.WantReason(t, err, fault.DecoratorNotFound)
	_, err = team.DeleteService(storetest.Context(t), "greet")
	testkit.WantReason(t, err, fault.ServiceNotFound)
	_, err = team.PublishService(storetest.Context(t), storetest.Service("greet", 1, storetest.Wasm("a")), 0)
	testkit.WantReason(t, err, fault.ModuleNotFound)
	if n := len(mirror(t, team).Snapshot().Decorators); n != 0 {
		t.Errorf("%d decorators", n)
	}
}
