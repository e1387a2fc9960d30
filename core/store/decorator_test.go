package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func decorator(name string) *ruedov1.Decorator {
	return &ruedov1.Decorator{Name: name, Limits: &ruedov1.Limits{MemoryBytes: 1 << 20}}
}

func TestDecorators(t *testing.T) {
	s := fresh(t)
	made, err := s.CreateDecorator(storetest.Context(t), decorator("small"))
	if err != nil {
		t.Fatal(err)
	}
	if made.GetVersion() == 0 || made.GetCreateTime() == nil || made.GetUpdateTime() == nil {
		t.Errorf("made %v", made)
	}
	_, err = s.CreateDecorator(storetest.Context(t), decorator("small"))
	testkit.WantReason(t, err, fault.AlreadyExists, "small")
	got, err := s.Decorator(t.Context(), "small")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, got, made)

	next := decorator("small")
	next.Description = "new"
	changed, err := s.UpdateDecorator(storetest.Context(t), Change{Decorator: next, Seen: made.GetVersion()})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, changed.GetCreateTime(), made.GetCreateTime())
	if changed.GetVersion() <= made.GetVersion() || changed.GetDescription() != "new" {
		t.Errorf("changed to %v", changed)
	}
	_, err = s.UpdateDecorator(storetest.Context(t), Change{Decorator: next, Seen: made.GetVersion()})
	testkit.WantReason(t, err, fault.Conflict, fmt.Sprint("since version ", made.GetVersion()))
	if _, err = s.UpdateDecorator(storetest.Context(t), Change{Decorator: next}); err != nil {
		t.Errorf("an update of whatever there is: %v", err)
	}
	s.SetMemory(names{s})
	_, err = s.UpdateDecorator(storetest.Context(t), Change{Decorator: decorator("smal")})
	testkit.WantReason(t, err, fault.DecoratorNotFound, "did you mean small?")

	if _, err := s.CreateDecorator(storetest.Context(t), decorator("fast")); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "/ruedo/main/decorators/"); n != 2 {
		t.Errorf("%d decorators are stored, want 2", n)
	}
	if _, err := s.DeleteDecorator(storetest.Context(t), "small"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Decorator(t.Context(), "small")
	testkit.WantReason(t, err, fault.DecoratorNotFound)
	_, err = s.DeleteDecorator(storetest.Context(t), "small")
	testkit.WantReason(t, err, fault.DecoratorNotFound)
	big := decorator("big")
	big.Description = strings.Repeat("x", 2<<20)
	_, err = s.CreateDecorator(storetest.Context(t), big)
	testkit.WantReason(t, err, fault.RequestInvalid, "over the limit")
	for _, name := range []string{"", "..", "a/b", "UP", "a\x00"} {
		_, err = s.CreateDecorator(storetest.Context(t), decorator(name))
		testkit.WantReason(t, err, fault.RequestInvalid)
	}
}

func TestDecoratorInUseStays(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	for _, name := range []string{"small", "small-2"} {
		if _, err := s.CreateDecorator(storetest.Context(t), decorator(name)); err != nil {
			t.Fatal(err)
		}
	}
	version := storetest.Publish(t, s, storetest.Service("s1", 1, storetest.Wasm("a"), "small"), 0).GetVersion()
	for i := range 7 {
		storetest.Publish(t, s, storetest.Service(fmt.Sprint("t", i), 1, storetest.Wasm("a"), "small"), 0)
	}
	_, err := s.DeleteDecorator(storetest.Context(t), "small")
	testkit.WantReason(t, err, fault.DecoratorInUse, "8 services", "s1, t0, t1, t2, t3 and 3 others")
	if _, err := s.DeleteDecorator(storetest.Context(t), "small-2"); err != nil {
		t.Errorf("one that nobody carries: %v", err)
	}
	// An older revision does not prevent the deletion.
	storetest.Publish(t, s, storetest.Service("s1", 2, storetest.Wasm("a")), version)
	for i := range 7 {
		if _, err := s.DeleteService(storetest.Context(t), fmt.Sprint("t", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.DeleteDecorator(storetest.Context(t), "small"); err != nil {
		t.Errorf("one that only an older revision carries: %v", err)
	}
}

// A deletion races with publishes that use the decorator and with publishes
// that do not. Whichever wins, no live service is left without its decorator.
func TestDeleteRacesWithPublish(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	deleted, published := 0, 0
	for round := range 40 {
		d := fmt.Sprint("d", round)
		if _, err := s.CreateDecorator(storetest.Context(t), decorator(d)); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var deleteErr, publishErr error
		wg.Go(func() { _, deleteErr = s.DeleteDecorator(storetest.Context(t), d) })
		wg.Go(func() {
			_, publishErr = s.PublishService(storetest.Context(t), storetest.Service(fmt.Sprint("s", round), 1, storetest.Wasm("a"), d), 0)
		})
		wg.Go(func() {
			if _, err := s.PublishService(storetest.Context(t), storetest.Service(fmt.Sprint("o", round), 1, storetest.Wasm("a")), 0); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		switch {
		case deleteErr == nil && errors.Is(publishErr, fault.DecoratorNotFound):
			deleted++
		case publishErr == nil && errors.Is(deleteErr, fault.DecoratorInUse):
			published++
		default:
			t.Fatalf("delete: %v, publish: %v", deleteErr, publishErr)
		}
	}
	t.Logf("%d deletions won, %d publishes", deleted, published)
}

// edit changes the description of a decorator.
func edit(t *testing.T, s *testStore, name, description string) *ruedov1.Decorator {
	t.Helper()
	d := decorator(name)
	d.Description = description
	next, err := s.UpdateDecorator(storetest.Context(t), Change{Decorator: d})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// numbers returns the revisions of a decorator as a list that is read in pages.
func numbers(t *testing.T, s *testStore, name string, items int) string {
	t.Helper()
	var list []uint64
	for from := uint64(0); ; {
		revs, next, err := s.DecoratorRevisions(t.Context(), name, Page{From: from, Items: items, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if len(revs) > items {
			t.Fatalf("%d items on a page of %d", len(revs), items)
		}
		for _, r := range revs {
			list = append(list, r.GetRevision())
		}
		if from = next; next == 0 {
			return fmt.Sprint(list)
		}
	}
}

func TestDecoratorsHaveRevisions(t *testing.T) {
	s := fresh(t)
	made, err := s.CreateDecorator(storetest.Context(t), decorator("small"))
	if err != nil || made.GetRevision() != 1 || made.GetLatest() != 1 {
		t.Fatalf("created %v, %v", made, err)
	}
	edit(t, s, "small", "two")
	three := edit(t, s, "small", "three")
	if three.GetRevision() != 3 || three.GetLatest() != 3 {
		t.Errorf("updated twice: %v", three)
	}
	two, err := s.DecoratorRevision(t.Context(), "small", 2)
	if err != nil || two.GetDescription() != "two" {
		t.Fatalf("revision 2 is %v, %v", two, err)
	}
	_, err = s.DecoratorRevision(t.Context(), "small", 4)
	testkit.WantReason(t, err, fault.RevisionNotFound, "it has 1 to 3")
	_, err = s.DecoratorRevision(t.Context(), "none", 1)
	testkit.WantReason(t, err, fault.DecoratorNotFound)

	// An older revision becomes live again, and no number is used twice.
	back, err := s.UpdateDecorator(storetest.Context(t), Change{Decorator: two, Seen: three.GetVersion(), Revision: 2})
	if err != nil || back.GetRevision() != 2 || back.GetLatest() != 3 || back.GetDescription() != "two" {
		t.Fatalf("back to %v, %v", back, err)
	}
	for _, items := range []int{1, 2, 3, 10} {
		if got := numbers(t, s, "small", items); got != "[3 2 1]" {
			t.Errorf("pages of %d: %s", items, got)
		}
	}
	if four := edit(t, s, "small", "four"); four.GetRevision() != 4 {
		t.Errorf("after going back: %v", four)
	}

	// They go with the decorator, and a new one begins again.
	if _, err := s.DeleteDecorator(storetest.Context(t), "small"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "/ruedo/main/decorator-revisions/"); n != 0 {
		t.Errorf("%d revisions are left of a deleted decorator", n)
	}
	if again, err := s.CreateDecorator(storetest.Context(t), decorator("small")); err != nil || again.GetRevision() != 1 || numbers(t, s, "small", 5) != "[1]" {
		t.Errorf("created again: %v, %v, %s", again, err, numbers(t, s, "small", 5))
	}
}

func TestRevisionsOfADecoratorAreBounded(t *testing.T) {
	s := fresh(t)
	if _, err := s.CreateDecorator(storetest.Context(t), decorator("small")); err != nil {
		t.Fatal(err)
	}
	for i := range KeptRevisions + 5 {
		edit(t, s, "small", fmt.Sprint(i))
	}
	if n := count(t, s, "/ruedo/main/decorator-revisions/small/"); n != KeptRevisions-1 {
		t.Errorf("%d revisions are stored next to the live one, want %d", n, KeptRevisions-1)
	}
	_, err := s.DecoratorRevision(t.Context(), "small", 6)
	testkit.WantReason(t, err, fault.RevisionNotFound, fmt.Sprintf("it has 7 to %d", KeptRevisions+6))
}

// A decorator that an older program wrote has no number.
func TestDecoratorsOfOlderProgramsHaveARevision(t *testing.T) {
	s := fresh(t)
	old := func(description string) {
		d := decorator("small")
		d.Description = description
		value, err := proto.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Cluster().Txn(t.Context()).Then(clientv3.OpPut("/ruedo/main/decorators/small", string(value))).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	old("one")
	got, err := s.Decorator(t.Context(), "small")
	if err != nil || got.GetRevision() != 1 || got.GetLatest() != 1 || numbers(t, s, "small", 5) != "[1]" {
		t.Fatalf("%v, %v: want revision 1", got, err)
	}
	if two := edit(t, s, "small", "two"); two.GetRevision() != 2 {
		t.Errorf("the first change is %v", two)
	}
	if one, err := s.DecoratorRevision(t.Context(), "small", 1); err != nil || one.GetDescription() != "one" {
		t.Errorf("revision 1 is %v, %v", one, err)
	}
	// An older core changes it while cores of both versions run: nothing that is
	// in the history is lost.
	old("older")
	edit(t, s, "small", "newer")
	one, err := s.DecoratorRevision(t.Context(), "small", 1)
	if err != nil || one.GetDescription() != "one" {
		t.Errorf("after a change by an older core, revision 1 is %v, %v", one, err)
	}
}

func TestAChangeNoticesNewCarriers(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	d, err := s.CreateDecorator(storetest.Context(t), decorator("small"))
	if err != nil {
		t.Fatal(err)
	}
	carriers, at, err := s.Carriers(t.Context(), "small")
	if err != nil || len(carriers) != 0 {
		t.Fatal(carriers, err)
	}
	storetest.Publish(t, s, storetest.Service("greet", 1, storetest.Wasm("a"), "small"), 0)
	_, err = s.UpdateDecorator(storetest.Context(t), Change{Decorator: decorator("small"), Carriers: at})
	if testkit.WantReason(t, err, fault.Conflict, "services are being published"); !errors.Is(err, ErrCarriersChanged) {
		t.Errorf("%v is not ErrCarriersChanged", err)
	}
	carriers, at, err = s.Carriers(t.Context(), "small", "other")
	if err != nil || len(carriers) != 1 || carriers[0].GetName() != "greet" {
		t.Fatal(carriers, err)
	}
	if _, err = s.UpdateDecorator(storetest.Context(t), Change{Decorator: decorator("small"), Carriers: at}); err != nil {
		t.Fatal(err)
	}
	// And a publish notices that a decorator has changed.
	_, _, err = s.Publish(storetest.Context(t), Publication{Service: storetest.Service("other", 1, storetest.Wasm("a"), "small"), Decorators: map[string]int64{"small": d.GetVersion()}})
	testkit.WantReason(t, err, fault.Conflict, "decorator small has changed meanwhile")
}

func TestDecoratorsAreWrittenWithAService(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	with := func(c Change) error {
		_, _, err := s.Publish(storetest.Context(t), Publication{Service: storetest.Service("greet", 1, storetest.Wasm("a"), "small"), Changes: []Change{c}})
		return err
	}
	testkit.WantReason(t, with(Change{Decorator: decorator("small")}), fault.DecoratorNotFound)
	if _, err := s.Service(t.Context(), "greet"); !errors.Is(err, fault.ServiceNotFound) {
		t.Errorf("half of it was written: %v", err)
	}
	if err := with(Change{Decorator: decorator("small"), New: true}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Decorator(t.Context(), "small")
	svc, err2 := s.Service(t.Context(), "greet")
	if err != nil || err2 != nil || got.GetVersion() != svc.GetVersion() {
		t.Errorf("decorator %v, %v; service %v, %v: want one transaction", got, err, svc, err2)
	}
	_, _, err = s.Publish(storetest.Context(t), Publication{Service: storetest.Service("two", 1, storetest.Wasm("a"), "small"), Changes: []Change{{Decorator: decorator("small"), New: true}}})
	testkit.WantReason(t, err, fault.AlreadyExists, "small")
}
