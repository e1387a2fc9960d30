package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// all is a page that is large enough for all revisions of a test.
var all = Page{Items: 1000, Bytes: 1 << 20}

// count returns how many keys the cluster has under a prefix.
func count(t *testing.T, s *testStore, prefix string) int64 {
	t.Helper()
	got, err := s.client.Get(t.Context(), prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return got.Count
}

func TestPublishReadRollBackDelete(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	storetest.Put(t, s, storetest.Wasm("b"))
	in := storetest.Service("greet", 1, storetest.Wasm("a"))
	one := storetest.Publish(t, s, in, 0)
	if in.GetVersion() != 0 || one.GetVersion() == 0 {
		t.Errorf("version %d of what was given, %d of what came back", in.GetVersion(), one.GetVersion())
	}
	got, err := s.Service(t.Context(), "greet")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, got, one)

	two := storetest.Publish(t, s, storetest.Service("greet", 2, storetest.Wasm("b")), one.GetVersion())
	revs, next, err := s.Revisions(t.Context(), "greet", all)
	if err != nil || len(revs) != 2 || next != 0 {
		t.Fatal(revs, next, err)
	}
	storetest.Same(t, revs[0], two.GetRevision())
	storetest.Same(t, revs[1], one.GetRevision())

	// Back to 1: no new record, the version moves.
	first, err := s.Revision(t.Context(), "greet", 1)
	if err != nil {
		t.Fatal(err)
	}
	back := proto.CloneOf(two)
	back.Revision = first
	back = storetest.Publish(t, s, back, two.GetVersion())
	if back.GetRevision().GetNumber() != 1 || back.GetLatest() != 2 || back.GetVersion() <= two.GetVersion() {
		t.Errorf("rolled back to %v", back)
	}
	if n := count(t, s, "/ruedo/main/revisions/"); n != 2 {
		t.Errorf("%d revisions are stored, want 2", n)
	}
	// The same revision again, with another description.
	back.Description = "greets"
	storetest.Publish(t, s, back, back.GetVersion())

	version, err := s.DeleteService(storetest.Context(t), "greet")
	if err != nil || version <= back.GetVersion() {
		t.Errorf("deleted at %d, %v", version, err)
	}
	if n := count(t, s, "/ruedo/main/revisions/") + count(t, s, "/ruedo/main/services/"); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	_, err = s.DeleteService(storetest.Context(t), "greet")
	testkit.WantReason(t, err, fault.ServiceNotFound)
	_, _, err = s.Revisions(t.Context(), "greet", all)
	testkit.WantReason(t, err, fault.ServiceNotFound)
	_, err = s.Revision(t.Context(), "greet", 1)
	testkit.WantReason(t, err, fault.ServiceNotFound)
}

func TestPublishGuards(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	if _, err := s.CreateDecorator(storetest.Context(t), decorator("small")); err != nil {
		t.Fatal(err)
	}
	one := storetest.Publish(t, s, storetest.Service("greet", 1, storetest.Wasm("a"), "small"), 0)
	two := storetest.Publish(t, s, storetest.Service("greet", 2, storetest.Wasm("a"), "small"), one.GetVersion())
	s.SetMemory(names{s})
	before := count(t, s, "/ruedo/")
	other := storetest.Service("greet", 2, storetest.Wasm("a"))
	other.Revision.Env = map[string]string{"other": "content"}
	for what, c := range map[string]struct {
		svc  *ruedov1.Service
		seen int64
		want fault.Reason
		says string
	}{
		"exists already":        {storetest.Service("greet", 3, storetest.Wasm("a")), 0, fault.Conflict, "published by somebody else"},
		"seen an older version": {storetest.Service("greet", 3, storetest.Wasm("a")), one.GetVersion(), fault.Conflict, fmt.Sprintf("at version %d, not %d", two.GetVersion(), one.GetVersion())},
		"deleted meanwhile":     {storetest.Service("gone", 2, storetest.Wasm("a")), one.GetVersion(), fault.Conflict, "was deleted"},
		"module not stored":     {storetest.Service("new", 1, storetest.Wasm("b")), 0, fault.ModuleNotFound, storetest.Digest(storetest.Wasm("b"))},
		"decorator not there":   {storetest.Service("new", 1, storetest.Wasm("a"), "small", "smal"), 0, fault.DecoratorNotFound, "did you mean small?"},
		"revision of others":    {other, two.GetVersion(), fault.Conflict, "revision 2 of service greet is another one"},
		"no revision":           {&ruedov1.Service{Name: "new"}, 0, fault.RequestInvalid, "no proper revision"},
		"revision of another":   {&ruedov1.Service{Name: "new", Latest: 1, Revision: one.GetRevision()}, 0, fault.RequestInvalid, "no proper revision"},
		"latest too low":        {&ruedov1.Service{Name: "greet", Latest: 1, Revision: two.GetRevision()}, 0, fault.RequestInvalid, "no proper revision"},
		"hostile name":          {storetest.Service("a/b", 1, storetest.Wasm("a")), 0, fault.RequestInvalid, `"a/b"`},
		"hostile decorator":     {storetest.Service("new", 1, storetest.Wasm("a"), "../x"), 0, fault.RequestInvalid, `"../x"`},
		"too many decorators":   {storetest.Service("new", 1, storetest.Wasm("a"), strings.Split(strings.Repeat("d ", 100), " ")...), 0, fault.RequestInvalid, "over the limit of 64"},
		"too large": {func() *ruedov1.Service {
			svc := storetest.Service("new", 1, storetest.Wasm("a"))
			svc.Revision.Env = map[string]string{"E": strings.Repeat("x", 800<<10)}
			return svc
		}(), 0, fault.RequestInvalid, "over the limit of"},
		"broken UTF-8": {func() *ruedov1.Service {
			svc := storetest.Service("new", 1, storetest.Wasm("a"))
			svc.Description = "\xff"
			return svc
		}(), 0, fault.RequestInvalid, "cannot be encoded"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := s.PublishService(storetest.Context(t), c.svc, c.seen)
			testkit.WantReason(t, err, c.want, c.says)
		})
	}
	if after := count(t, s, "/ruedo/"); after != before {
		t.Errorf("%d keys after what was refused, %d before", after, before)
	}
	got, err := s.Service(t.Context(), "greet")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, got, two)
}

// Publishers race for the same service; exactly one wins each round, and what
// is stored is the winner's, whole.
func TestPublishRace(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	stores := []*testStore{open(t, Config{Client: e.Client()}), open(t, Config{Client: e.Client()})}
	storetest.Put(t, stores[0], storetest.Wasm("a"))
	var seen int64
	for round := uint64(1); round <= 30; round++ {
		var wg sync.WaitGroup
		var winner atomic.Pointer[ruedov1.Service]
		var wins atomic.Int32
		for i, s := range stores {
			svc := storetest.Service("greet", round, storetest.Wasm("a"))
			svc.Revision.Env["by"] = fmt.Sprint(i)
			wg.Go(func() {
				got, err := s.PublishService(storetest.Context(t), svc, seen)
				switch {
				case err == nil:
					wins.Add(1)
					winner.Store(got)
				case !errors.Is(err, fault.Conflict):
					t.Errorf("the loser gets %v, want CONFLICT", err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("round %d: %d winners", round, wins.Load())
		}
		won := winner.Load()
		got, err := stores[0].Service(t.Context(), "greet")
		if err != nil {
			t.Fatal(err)
		}
		storetest.Same(t, got, won)
		rev, err := stores[0].Revision(t.Context(), "greet", round)
		if err != nil {
			t.Fatal(err)
		}
		storetest.Same(t, rev, won.GetRevision())
		seen = won.GetVersion()
	}
	if n := count(t, stores[0], "/ruedo/main/revisions/"); n != 30 {
		t.Errorf("%d revisions are stored, want 30", n)
	}
}

// A service that does not exist has no numbers, also while others publish and delete
// it all the time: its next revision is the first one.
func TestNumbersGoWithTheirService(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.PublishService(storetest.Context(t), storetest.Service("greet", 1, storetest.Wasm("a")), 0); err != nil {
				t.Error(err)
				return
			}
			if _, err := s.DeleteService(storetest.Context(t), "greet"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for n := range 300 {
		svc, err := s.Published(t.Context(), "greet")
		if err != nil {
			t.Fatal(err)
		}
		if svc.GetRevision() == nil && svc.GetLatest() != 0 {
			t.Fatalf("read %d: there is no service, and its latest revision is %d", n, svc.GetLatest())
		}
	}
}

func TestNotFoundSaysWhatThereIs(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	version := int64(0)
	for n := range uint64(3) {
		version = storetest.Publish(t, s, storetest.Service("greet", n+1, storetest.Wasm("a")), version).GetVersion()
	}
	s.SetMemory(names{s})
	_, err := s.Service(storetest.Context(t), "gret")
	testkit.WantReason(t, err, fault.ServiceNotFound, `there is no service "gret"`, "did you mean greet?")
	_, err = s.Service(storetest.Context(t), "quite-another")
	testkit.WantReason(t, err, fault.ServiceNotFound, "list the services")
	_, err = s.DeleteService(storetest.Context(t), "geret")
	testkit.WantReason(t, err, fault.ServiceNotFound, "did you mean greet?")
	_, err = s.Revision(storetest.Context(t), "greet", 7)
	testkit.WantReason(t, err, fault.RevisionNotFound, "no revision 7: it has 1 to 3")
	_, err = s.Revision(storetest.Context(t), "gret", 1)
	testkit.WantReason(t, err, fault.ServiceNotFound, "did you mean greet?")
	_, err = s.Service(storetest.Context(t), strings.Repeat("x", 10<<10))
	testkit.WantReason(t, err, fault.RequestInvalid, "10240 bytes")
}

func TestValuesThatCannotBeRead(t *testing.T) {
	s := fresh(t)
	for _, key := range []string{"services/a", "decorators/a", "revisions/a/00000000000000000001"} {
		if _, err := s.client.Put(t.Context(), "/ruedo/main/"+key, "\xff\xff\xff"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Service(t.Context(), "a")
	testkit.WantReason(t, err, fault.Integrity, "service a")
	_, err = s.Decorator(t.Context(), "a")
	testkit.WantReason(t, err, fault.Integrity, "decorator a")
	_, err = s.Revision(t.Context(), "a", 1)
	testkit.WantReason(t, err, fault.Integrity, "revision 1")
	if _, err := s.UpdateDecorator(storetest.Context(t), Change{Decorator: decorator("a")}); err != nil {
		t.Errorf("an update does not mend it: %v", err)
	}
	if _, err := s.DeleteDecorator(storetest.Context(t), "a"); err != nil {
		t.Errorf("a service that cannot be read holds it up: %v", err)
	}
}

func TestManyRevisionsAreDeletedAtOnce(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	version := int64(0)
	for n := range uint64(300) {
		version = storetest.Publish(t, s, storetest.Service("greet", n+1, storetest.Wasm("a")), version).GetVersion()
	}
	storetest.Publish(t, s, storetest.Service("greet-2", 1, storetest.Wasm("a")), 0)
	if _, err := s.DeleteService(storetest.Context(t), "greet"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "/ruedo/main/revisions/"); n != 1 {
		t.Errorf("%d revisions are left, want greet-2's one", n)
	}
}
