package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

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
	made, err := s.CreateDecorator(t.Context(), decorator("small"))
	if err != nil {
		t.Fatal(err)
	}
	if made.GetVersion() == 0 || made.GetCreateTime() == nil || made.GetUpdateTime() == nil {
		t.Errorf("made %v", made)
	}
	_, err = s.CreateDecorator(t.Context(), decorator("small"))
	testkit.WantReason(t, err, fault.AlreadyExists, "small")
	got, err := s.Decorator(t.Context(), "small")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, got, made)

	next := decorator("small")
	next.Description = "new"
	changed, err := s.UpdateDecorator(t.Context(), next, made.GetVersion())
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, changed.GetCreateTime(), made.GetCreateTime())
	if changed.GetVersion() <= made.GetVersion() || changed.GetDescription() != "new" {
		t.Errorf("changed to %v", changed)
	}
	_, err = s.UpdateDecorator(t.Context(), next, made.GetVersion())
	testkit.WantReason(t, err, fault.Conflict, fmt.Sprint("since version ", made.GetVersion()))
	if _, err = s.UpdateDecorator(t.Context(), next, 0); err != nil {
		t.Errorf("an update of whatever there is: %v", err)
	}
	s.SetMemory(names{s})
	_, err = s.UpdateDecorator(t.Context(), decorator("smal"), 0)
	testkit.WantReason(t, err, fault.DecoratorNotFound, "did you mean small?")

	if _, err := s.CreateDecorator(t.Context(), decorator("fast")); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "/ruedo/main/decorators/"); n != 2 {
		t.Errorf("%d decorators are stored, want 2", n)
	}
	if _, err := s.DeleteDecorator(t.Context(), "small"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Decorator(t.Context(), "small")
	testkit.WantReason(t, err, fault.DecoratorNotFound)
	_, err = s.DeleteDecorator(t.Context(), "small")
	testkit.WantReason(t, err, fault.DecoratorNotFound)
	big := decorator("big")
	big.Description = strings.Repeat("x", 2<<20)
	_, err = s.CreateDecorator(t.Context(), big)
	testkit.WantReason(t, err, fault.RequestInvalid, "over the limit")
	for _, name := range []string{"", "..", "a/b", "UP", "a\x00"} {
		_, err = s.CreateDecorator(t.Context(), decorator(name))
		testkit.WantReason(t, err, fault.RequestInvalid)
	}
}

func TestDecoratorInUseStays(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	for _, name := range []string{"small", "small-2"} {
		if _, err := s.CreateDecorator(t.Context(), decorator(name)); err != nil {
			t.Fatal(err)
		}
	}
	version := storetest.Publish(t, s, storetest.Service("s1", 1, storetest.Wasm("a"), "small"), 0).GetVersion()
	for i := range 7 {
		storetest.Publish(t, s, storetest.Service(fmt.Sprint("t", i), 1, storetest.Wasm("a"), "small"), 0)
	}
	_, err := s.DeleteDecorator(t.Context(), "small")
	testkit.WantReason(t, err, fault.DecoratorInUse, "8 services", "s1, t0, t1, t2, t3 and 3 others")
	if _, err := s.DeleteDecorator(t.Context(), "small-2"); err != nil {
		t.Errorf("one that nobody carries: %v", err)
	}
	// An older revision does not prevent the deletion.
	storetest.Publish(t, s, storetest.Service("s1", 2, storetest.Wasm("a")), version)
	for i := range 7 {
		if _, err := s.DeleteService(t.Context(), fmt.Sprint("t", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.DeleteDecorator(t.Context(), "small"); err != nil {
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
		if _, err := s.CreateDecorator(t.Context(), decorator(d)); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var deleteErr, publishErr error
		wg.Go(func() { _, deleteErr = s.DeleteDecorator(t.Context(), d) })
		wg.Go(func() {
			_, publishErr = s.PublishService(t.Context(), storetest.Service(fmt.Sprint("s", round), 1, storetest.Wasm("a"), d), 0)
		})
		wg.Go(func() {
			if _, err := s.PublishService(t.Context(), storetest.Service(fmt.Sprint("o", round), 1, storetest.Wasm("a")), 0); err != nil {
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
