package collect_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/collect"
	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a store with a leader.
type bench struct {
	*store.Store
	client *clientv3.Client
	jobs   *jobs.Runner
	hooks  hooks
}

// hooks do what somebody else does between what a job reads and what it deletes.
// Each is called once.
type hooks struct {
	*store.Store
	afterServices, afterRevisions, afterCordons func()
}

func (h *hooks) ServicesSince(ctx context.Context, since int64) ([]*ruedov1.Service, int64, error) {
	services, revision, err := h.Store.ServicesSince(ctx, since)
	if f := h.afterServices; f != nil {
		h.afterServices = nil
		f()
	}
	return services, revision, err
}

func (h *hooks) Revisions(ctx context.Context, service string, p store.Page) ([]*ruedov1.Revision, uint64, error) {
	revs, next, err := h.Store.Revisions(ctx, service, p)
	if f := h.afterRevisions; f != nil {
		h.afterRevisions = nil
		f()
	}
	return revs, next, err
}

func newBench(t *testing.T, cfg collect.Config) *bench {
	t.Helper()
	cfg.Interval = 24 * time.Hour // the test says when
	client := etcdtest.Start(t, etcdembed.Config{}).Client()
	s, err := store.Open(t.Context(), store.Config{Client: client, Cluster: "main", OpTimeout: testkit.Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	leadership, err := s.Cluster().Campaign(t.Context(), &ruedov1.Leader{Core: "core-1"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Store: s, client: client, hooks: hooks{Store: s}}
	b.jobs = jobs.New(jobs.Config{Store: s, Core: "core-1", Jobs: collect.Jobs(&b.hooks, cfg)})
	var wg sync.WaitGroup
	wg.Go(func() { b.jobs.Lead(leadership.Context(), leadership.Fence()) })
	t.Cleanup(func() {
		_ = leadership.Resign(context.Background())
		wg.Wait()
	})
	testkit.Eventually(t, "the leader runs jobs", func() bool {
		_, err := b.jobs.Run(t.Context(), "collect-revisions", false)
		return err == nil
	})
	return b
}

// run runs a job and returns the names of what it removes, sorted.
func (b *bench) run(t *testing.T, job string, dry bool) []string {
	t.Helper()
	res, err := b.jobs.Run(t.Context(), job, dry)
	if err != nil {
		t.Fatalf("%s: %v", job, err)
	}
	verb := "removed "
	if dry {
		verb = "would remove "
	}
	if !strings.HasPrefix(res.GetRun().GetResult(), verb) {
		t.Errorf("%s says %q", job, res.GetRun().GetResult())
	}
	names := []string{}
	for _, item := range res.GetItems() {
		names = append(names, item.GetName())
	}
	slices.Sort(names)
	return names
}

// removes checks what a job removes, first in a dry run, which changes nothing.
func (b *bench) removes(t *testing.T, job string, want ...string) {
	t.Helper()
	want = slices.Clone(want)
	slices.Sort(want)
	before := b.keys(t)
	if got := b.run(t, job, true); !slices.Equal(got, want) {
		t.Errorf("%s would remove %v, want %v", job, got, want)
	}
	if after := b.keys(t); after != before {
		t.Errorf("a dry run leaves %d of %d keys", after, before)
	}
	if got := b.run(t, job, false); !slices.Equal(got, want) {
		t.Errorf("%s removes %v, want %v", job, got, want)
	}
	if got := b.run(t, job, false); len(got) > 0 {
		t.Errorf("%s removes %v when it is run again", job, got)
	}
}

func (b *bench) keys(t *testing.T, prefix ...string) int64 {
	t.Helper()
	got, err := b.client.Get(t.Context(), "/ruedo/main/"+strings.Join(prefix, ""), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return got.Count
}

// publish stores revision n of a service with a module that is only its own, and
// returns the service.
func (b *bench) publish(t *testing.T, name string, n uint64, seen int64) *ruedov1.Service {
	t.Helper()
	wasm := storetest.Wasm(fmt.Sprint(name, n))
	storetest.Put(t, b, wasm)
	return storetest.Publish(t, b, storetest.Service(name, n, wasm), seen)
}

func TestRevisionsBeyondTheKeptNumberGo(t *testing.T) {
	b := newBench(t, collect.Config{Revisions: 5})
	var svc, young *ruedov1.Service
	for n := range uint64(12) {
		svc = b.publish(t, "greet", n+1, svc.GetVersion())
		if n < 5 {
			young = b.publish(t, "young", n+1, young.GetVersion())
		}
	}
	third, err := b.Revision(t.Context(), "greet", 3)
	if err != nil {
		t.Fatal(err)
	}
	back := proto.CloneOf(svc)
	back.Revision = third
	svc = storetest.Publish(t, b, back, svc.GetVersion())
	// 3 is live, and a rollback goes to 2.
	b.removes(t, "collect-revisions", "greet@1", "greet@4", "greet@5", "greet@6", "greet@7")
	revs, _, err := b.Revisions(t.Context(), "greet", store.Page{Items: 100, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var left []uint64
	for _, r := range revs {
		left = append(left, r.GetNumber())
	}
	if want := []uint64{12, 11, 10, 9, 8, 3, 2}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
	if n := b.keys(t, "revisions/young/"); n != 5 {
		t.Errorf("%d revisions of the other service", n)
	}
	// The service goes on as ever, and so does a rollback to what was removed
	// while it was being prepared.
	gone := proto.CloneOf(svc)
	gone.Revision = &ruedov1.Revision{Service: "greet", Number: 4, Module: storetest.Digest(storetest.Wasm("greet4")), Env: map[string]string{"N": "4"}}
	if svc, err = b.PublishService(storetest.Context(t), gone, svc.GetVersion()); err != nil || svc.GetRevision().GetNumber() != 4 {
		t.Errorf("%v, %v", svc, err)
	}
	b.publish(t, "greet", 13, svc.GetVersion())
}

func TestManyRevisionsGoInSteps(t *testing.T) {
	b := newBench(t, collect.Config{Revisions: 1})
	storetest.Put(t, b, storetest.Wasm("a"))
	var version int64
	for n := range uint64(300) {
		version = storetest.Publish(t, b, storetest.Service("greet", n+1, storetest.Wasm("a")), version).GetVersion()
	}
	if got := b.run(t, "collect-revisions", false); len(got) != 298 {
		t.Errorf("%d were removed, want 298", len(got))
	}
	if n := b.keys(t, "revisions/greet/"); n != 2 {
		t.Errorf("%d are left, want the live one and the one before", n)
	}
}

func TestYoungRevisionsStay(t *testing.T) {
	b := newBench(t, collect.Config{Revisions: 1, RevisionAge: time.Hour})
	storetest.Put(t, b, storetest.Wasm("a"))
	var version int64
	for n := range uint64(6) {
		svc := storetest.Service("greet", n+1, storetest.Wasm("a"))
		svc.Revision.CreateTime = timestamppb.New(time.Now().Add(-time.Duration(5-n) * 25 * time.Minute))
		version = storetest.Publish(t, b, svc, version).GetVersion()
	}
	b.removes(t, "collect-revisions", "greet@1", "greet@2", "greet@3") // 125, 100 and 75 minutes old
}

func TestModulesThatNothingUsesGo(t *testing.T) {
	b := newBench(t, collect.Config{ModuleAge: -1})
	svc := b.publish(t, "greet", 1, 0)
	svc = b.publish(t, "greet", 2, svc.GetVersion())
	staged := storetest.Wasm("staged")
	storetest.Put(t, b, staged)
	next := proto.CloneOf(svc)
	next.Latest = 3
	if _, _, err := b.Publish(storetest.Context(t), store.Publication{Service: next, Staged: storetest.Service("greet", 3, staged).GetRevision(), Seen: svc.GetVersion()}); err != nil {
		t.Fatal(err)
	}
	large := storetest.Wasm(strings.Repeat("0123456789abcdef", 100_000)) // several chunks
	var unused []string
	for _, wasm := range [][]byte{large, storetest.Wasm("unused"), {}} {
		storetest.Put(t, b, wasm)
		unused = append(unused, storetest.Digest(wasm))
	}
	b.removes(t, "collect-modules", unused...)
	for _, used := range [][]byte{storetest.Wasm("greet1"), storetest.Wasm("greet2"), staged} {
		if _, err := b.ReadModule(t.Context(), storetest.Digest(used)); err != nil {
			t.Error(err)
		}
	}
	if n := b.keys(t, "modules/"); n != 6 { // each has a chunk and a manifest
		t.Errorf("%d keys of modules are left, want 6", n)
	}
	// It can be uploaded again.
	storetest.Put(t, b, large)
	if _, err := b.ReadModule(t.Context(), unused[0]); err != nil {
		t.Error(err)
	}
	if _, err := b.DeleteService(storetest.Context(t), "greet"); err != nil {
		t.Fatal(err)
	}
	if got := b.run(t, "collect-modules", false); len(got) != 4 || b.keys(t, "modules/") != 0 {
		t.Errorf("removed %v, %d keys are left", got, b.keys(t, "modules/"))
	}
}

// More modules than one transaction takes.
func TestManyModulesGoInSteps(t *testing.T) {
	b := newBench(t, collect.Config{ModuleAge: -1})
	for i := range 75 {
		storetest.Put(t, b, storetest.Wasm(fmt.Sprint(i)))
	}
	if got := b.run(t, "collect-modules", false); len(got) != 75 || b.keys(t, "modules/") != 0 {
		t.Errorf("removed %d, %d keys are left", len(got), b.keys(t, "modules/"))
	}
}

// A module that was uploaded, or that a publish has asked for, is left alone for
// a while.
func TestYoungModulesStay(t *testing.T) {
	b := newBench(t, collect.Config{ModuleAge: 2 * time.Second})
	wasm := storetest.Wasm("a")
	m := storetest.Module(wasm)
	m.CreateTime = timestamppb.New(time.Now().Add(-48 * time.Hour)) // uploaded long ago
	if err := b.PutModule(storetest.Context(t), m, wasm); err != nil {
		t.Fatal(err)
	}
	if got := b.run(t, "collect-modules", false); len(got) > 0 {
		t.Fatalf("removed %v, although nobody knows how old it is", got)
	}
	testkit.Eventually(t, "it is old enough", func() bool { return len(b.run(t, "collect-modules", true)) == 1 })
	if _, err := b.StatModule(t.Context(), storetest.Digest(wasm)); err != nil {
		t.Fatal(err)
	}
	if got := b.run(t, "collect-modules", false); len(got) > 0 {
		t.Fatalf("removed %v, although a publish has just asked for it", got)
	}
	testkit.Eventually(t, "it is old enough again", func() bool { return len(b.run(t, "collect-modules", true)) == 1 })
	// An upload of what is there already asks for it, too. It does so at most once
	// an hour, so the manifest is made to look older.
	manifest := "/ruedo/main/modules/" + storetest.Digest(wasm) + "/manifest"
	if _, err := b.client.Delete(t.Context(), manifest); err != nil {
		t.Fatal(err)
	}
	if err := b.PutModule(storetest.Context(t), m, wasm); err != nil {
		t.Fatal(err)
	}
	if got := b.run(t, "collect-modules", false); len(got) > 0 {
		t.Fatalf("removed %v, although it is new", got)
	}
	testkit.Eventually(t, "it is old enough once more", func() bool { return len(b.run(t, "collect-modules", true)) == 1 })
	if err := b.PutModule(storetest.Context(t), m, wasm); err != nil {
		t.Fatal(err)
	}
	if got := b.run(t, "collect-modules", false); len(got) > 0 {
		t.Errorf("removed %v, although it was just uploaded", got)
	}
	testkit.Eventually(t, "it goes", func() bool { return len(b.run(t, "collect-modules", false)) == 1 })
}

func TestWhatBrokenUploadsLeftBehindGoes(t *testing.T) {
	b := newBench(t, collect.Config{ModuleAge: -1, UploadAge: 2 * time.Second})
	whole := storetest.Wasm("whole")
	storetest.Put(t, b, whole)
	broken := storetest.Digest(storetest.Wasm("broken"))
	chunk := func(i int) string { return fmt.Sprintf("/ruedo/main/modules/%s/chunks/%06d", broken, i) }
	for i := range 40 {
		if _, err := b.client.Put(t.Context(), chunk(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.run(t, "collect-uploads", false); len(got) > 0 {
		t.Fatalf("removed %v, which may still be written", got)
	}
	testkit.Eventually(t, "it is old enough", func() bool { return len(b.run(t, "collect-uploads", true)) == 1 })
	// Somebody uploads it again.
	if _, err := b.client.Put(t.Context(), chunk(39), "y"); err != nil {
		t.Fatal(err)
	}
	if got := b.run(t, "collect-uploads", false); len(got) > 0 || b.keys(t, "modules/", broken) != 40 {
		t.Fatalf("removed %v of an upload, %d chunks are left", got, b.keys(t, "modules/", broken))
	}
	testkit.Eventually(t, "it is old enough again", func() bool { return len(b.run(t, "collect-uploads", true)) == 1 })
	b.removes(t, "collect-uploads", broken)
	if n := b.keys(t, "modules/", broken); n != 0 {
		t.Errorf("%d chunks are left", n)
	}
	if _, err := b.ReadModule(t.Context(), storetest.Digest(whole)); err != nil {
		t.Error(err)
	}
}

func TestNothingGoesWhileWhatIsUsedIsNotKnown(t *testing.T) {
	b := newBench(t, collect.Config{ModuleAge: -1, Revisions: 1})
	svc := b.publish(t, "greet", 1, 0)
	svc = b.publish(t, "greet", 2, svc.GetVersion())
	b.publish(t, "greet", 3, svc.GetVersion())
	storetest.Put(t, b, storetest.Wasm("unused"))
	for what, key := range map[string]string{"a service": "services/greet", "a revision": "revisions/greet/00000000000000000002"} {
		key = "/ruedo/main/" + key
		was, err := b.client.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.client.Put(t.Context(), key, "\xff\xff"); err != nil {
			t.Fatal(err)
		}
		before := b.keys(t, "modules/")
		_, err = b.jobs.Run(t.Context(), "collect-modules", false)
		testkit.WantReason(t, err, fault.Integrity, "cannot be read", "greet")
		if n := b.keys(t, "modules/"); n != before {
			t.Errorf("%s cannot be read: %d of %d keys are left", what, n, before)
		}
		if what == "a service" {
			res, err := b.jobs.Run(t.Context(), "collect-revisions", false)
			if err != nil || len(res.GetItems()) > 0 || !strings.Contains(res.GetRun().GetResult(), "1 service cannot be read") {
				t.Errorf("%v, %v", res, err)
			}
		}
		if _, err := b.client.Put(t.Context(), key, string(was.Kvs[0].Value)); err != nil {
			t.Fatal(err)
		}
	}
	b.removes(t, "collect-modules", storetest.Digest(storetest.Wasm("unused")))
}

// Whoever led before cannot delete anything any more.
func TestAFormerLeaderRemovesNothing(t *testing.T) {
	b := newBench(t, collect.Config{ModuleAge: -1, Revisions: 1})
	svc := b.publish(t, "greet", 1, 0)
	for n := range uint64(3) {
		svc = b.publish(t, "greet", n+2, svc.GetVersion())
	}
	storetest.Put(t, b, storetest.Wasm("unused"))
	for i := range 3 {
		if _, err := b.client.Put(t.Context(), fmt.Sprintf("/ruedo/main/modules/%s/chunks/%06d", storetest.Digest(storetest.Wasm("broken")), i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	// Another core has become the leader, and this one has not heard.
	if _, err := b.client.Put(t.Context(), "/ruedo/main/leader/cluster", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.Delete(t.Context(), "/ruedo/main/leader/cluster"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.Put(t.Context(), "/ruedo/main/leader/cluster", ""); err != nil {
		t.Fatal(err)
	}
	before := b.keys(t)
	for _, job := range []string{"collect-revisions", "collect-modules"} {
		_, err := b.jobs.Run(t.Context(), job, false)
		testkit.WantReason(t, err, fault.LeadershipLost)
	}
	if after := b.keys(t); after != before {
		t.Errorf("%d of %d keys are left", after, before)
	}
}

// What was published, asked for or made live after a job has looked is not removed.
func TestWhatChangesMeanwhileStays(t *testing.T) {
	b := newBench(t, collect.Config{ModuleAge: -1, Revisions: 2})
	published, asked := storetest.Wasm("published"), storetest.Wasm("asked for")
	for _, meanwhile := range []struct {
		wasm []byte
		do   func()
	}{
		{published, func() { storetest.Publish(t, b, storetest.Service("new", 1, published), 0) }},
		{asked, func() {
			if _, err := b.StatModule(t.Context(), storetest.Digest(asked)); err != nil {
				t.Error(err)
			}
		}},
	} {
		unused := storetest.Wasm("unused")
		storetest.Put(t, b, unused)
		m := storetest.Module(meanwhile.wasm)
		m.CreateTime = timestamppb.New(time.Now().Add(-48 * time.Hour))
		if err := b.PutModule(storetest.Context(t), m, meanwhile.wasm); err != nil {
			t.Fatal(err)
		}
		b.hooks.afterServices = meanwhile.do
		if got := b.run(t, "collect-modules", false); !slices.Equal(got, []string{storetest.Digest(unused)}) {
			t.Errorf("removed %v, want only %s", got, storetest.Digest(unused))
		}
		if _, err := b.ReadModule(t.Context(), storetest.Digest(meanwhile.wasm)); err != nil {
			t.Errorf("the module %q: %v", meanwhile.wasm, err)
		}
	}

	var svc *ruedov1.Service
	for n := range uint64(8) {
		svc = storetest.Publish(t, b, storetest.Service("greet", n+1, published), svc.GetVersion())
	}
	b.hooks.afterRevisions = func() { // of which 1 to 6 are to go
		back := proto.CloneOf(svc)
		var err error
		if back.Revision, err = b.Revision(t.Context(), "greet", 4); err != nil {
			t.Error(err)
			return
		}
		storetest.Publish(t, b, back, svc.GetVersion())
	}
	if got := b.run(t, "collect-revisions", false); !slices.Equal(got, []string{"greet@1", "greet@2", "greet@5", "greet@6"}) {
		t.Errorf("removed %v, although 4 has become live", got)
	}
	if _, err := b.Revision(t.Context(), "greet", 4); err != nil {
		t.Error(err)
	}
}

// Publishes race with a collector that spares nothing because of its age. What
// was acknowledged can be executed; what lost its module is refused, and repeated.
func TestAPublishNeverLosesItsModule(t *testing.T) {
	b := newBench(t, collect.Config{ModuleAge: -1, Revisions: 2})
	const publishers, publishes = 4, 24
	var repeated, rounds atomic.Int64
	pause := func(n int64) { // until the collector has ended n more rounds
		from := rounds.Load()
		testkit.Poll(testkit.Patience, func() bool { return rounds.Load() >= from+n })
	}
	stop := make(chan struct{})
	var collector, wg sync.WaitGroup
	removed := 0
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, job := range []string{"collect-revisions", "collect-modules"} {
				res, err := b.jobs.Run(context.Background(), job, false)
				if err != nil {
					t.Error(err)
					return
				}
				removed += len(res.GetItems())
			}
			rounds.Add(1)
		}
	})
	for p := range publishers {
		wg.Go(func() {
			name := fmt.Sprint("svc-", p)
			var version int64
			again := false
			for n := uint64(1); n <= publishes; {
				if n%2 == 0 {
					pause(1)
				}
				wasm := storetest.Wasm(fmt.Sprint(name, n))
				if err := b.PutModule(access.WithPrincipal(context.Background(), "user/test"), storetest.Module(wasm), wasm); err != nil {
					t.Error(err)
					return
				}
				if n%2 == 1 && !again {
					pause(int64(n/2%3) + 1) // the collector can find the module before the publish does
				}
				svc, err := b.PublishService(access.WithPrincipal(context.Background(), "user/test"), storetest.Service(name, n, wasm), version)
				if again = errors.Is(err, fault.ModuleNotFound); again {
					repeated.Add(1)
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				version, n = svc.GetVersion(), n+1
				if _, err := b.ReadModule(context.Background(), svc.GetRevision().GetModule()); err != nil {
					t.Errorf("%s@%d was acknowledged: %v", name, n-1, err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	collector.Wait()
	t.Logf("%d things were removed meanwhile, %d publishes were repeated", removed, repeated.Load())
	if removed == 0 || repeated.Load() == 0 {
		t.Error("the collector was never in the way, so there was no race")
	}
	services, _, err := b.ServicesSince(t.Context(), 0)
	if err != nil || len(services) != publishers {
		t.Fatalf("%d services, %v", len(services), err)
	}
	for _, svc := range services {
		revs, _, err := b.Revisions(t.Context(), svc.GetName(), store.Page{Items: 100, Bytes: 1 << 20})
		if err != nil || svc.GetLatest() != publishes {
			t.Fatalf("%v, %v", svc, err)
		}
		for _, rev := range revs {
			if _, err := b.ReadModule(t.Context(), rev.GetModule()); err != nil {
				t.Errorf("%s@%d: %v", svc.GetName(), rev.GetNumber(), err)
			}
		}
	}
}

// Cordons that have expired are removed, unless somebody has changed them since.
func TestCordonsThatHaveExpired(t *testing.T) {
	b := newBench(t, collect.Config{})
	put := func(runner string, seen int64, end *timestamppb.Timestamp) int64 {
		c := &ruedov1.Cordon{Runner: runner, EndTime: end}
		if err := b.PutCordon(storetest.Context(t), c, seen); err != nil {
			t.Fatal(err)
		}
		return c.GetVersion()
	}
	past, future := timestamppb.New(time.Now().Add(-time.Second)), timestamppb.New(time.Now().Add(time.Hour))
	put("lasting", 0, nil)
	put("later", 0, future)
	put("over", 0, past)
	version := put("again", 0, past)
	b.hooks.afterCordons = func() { put("again", version, future) }
	if got := b.run(t, "expire-cordons", false); !slices.Equal(got, []string{"over"}) {
		t.Errorf("removed %v", got)
	}
	if left, err := b.ListCordons(t.Context()); err != nil || len(left) != 3 || left["over"] != nil || left["again"] == nil {
		t.Errorf("%v, %v", left, err)
	}
	put("over", 0, past)
	b.removes(t, "expire-cordons", "over")
}

func (h *hooks) ListCordons(ctx context.Context) (map[string]*ruedov1.Cordon, error) {
	all, err := h.Store.ListCordons(ctx)
	if f := h.afterCordons; f != nil {
		h.afterCordons = nil
		f()
	}
	return all, err
}
