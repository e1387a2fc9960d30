package events_test

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/events"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ring(t *testing.T, e *etcdembed.Server, cluster string) *events.Ring {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Client: e.Client(), Cluster: cluster})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return events.New(s.Cluster(), s.Guard())
}

func list(t *testing.T, r *events.Ring, after int64) ([]*ruedov1.Event, int64) {
	t.Helper()
	items, version, err := r.List(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	return items, version
}

// The store keeps the last ones, in the order in which they came, whatever their
// ids and clocks say.
func TestOlderOnesGo(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	r, other := ring(t, e, "one"), ring(t, e, "two")
	const all = events.Max + 200
	for i := 0; i < all; i += 25 {
		var batch []*ruedov1.Event
		for k := i; k < i+25; k++ {
			batch = append(batch, &ruedov1.Event{Id: fmt.Sprintf("%d-%05d", k%7, all-k), Object: fmt.Sprint(k), Text: strings.Repeat("x", 500)})
		}
		if err := r.Put(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	items, version := list(t, r, 0)
	if len(items) != events.Max {
		t.Fatalf("%d events", len(items))
	}
	for _, e := range items {
		var n int
		if _, err := fmt.Sscan(e.GetObject(), &n); err != nil || n < all-events.Max {
			t.Errorf("event %s is still there", e.GetObject())
		}
	}
	if last := items[len(items)-1]; last.GetVersion() > version || last.GetVersion() == 0 {
		t.Errorf("version %d at %d", last.GetVersion(), version)
	}
	if items, _ := list(t, other, 0); len(items) != 0 {
		t.Errorf("another cluster has %d events", len(items))
	}

	// A new version of an event replaces it, and only that is new.
	again := items[0]
	again.Count = 2
	if err := r.Put(t.Context(), []*ruedov1.Event{again}); err != nil {
		t.Fatal(err)
	}
	items, _ = list(t, r, version)
	if len(items) != 1 || items[0].GetId() != again.GetId() || items[0].GetCount() != 2 || items[0].GetVersion() <= version {
		t.Errorf("%v", items)
	}
	if items, _ := list(t, r, 0); len(items) != events.Max {
		t.Errorf("%d events", len(items))
	}
}

func TestAnEventIsBounded(t *testing.T) {
	r := ring(t, etcdtest.Start(t, etcdembed.Config{}), "one")
	err := r.Put(t.Context(), []*ruedov1.Event{{Id: "a", Text: strings.Repeat("x", events.MaxBytes)}})
	testkit.WantReason(t, err, fault.Internal, "over the limit of 1024")
	err = r.Put(t.Context(), []*ruedov1.Event{{Id: "../a"}})
	if err == nil {
		t.Error("an id with a path was accepted")
	}
	if items, _ := list(t, r, 0); len(items) != 0 {
		t.Errorf("%v", items)
	}
}
