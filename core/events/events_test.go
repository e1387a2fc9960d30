package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/coretest"
	store "github.com/ruedo-dev/ruedo/core/store/events"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const lost = ruedov1.EventKind_EVENT_KIND_RUNNER_LOST

// ring keeps the last version of each event, and counts writes.
type ring struct {
	mu     sync.Mutex
	down   bool
	puts   int
	writes int // of events
	kept   map[string]*ruedov1.Event
}

func (r *ring) Put(_ context.Context, events []*ruedov1.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return errors.New("the store does not answer")
	}
	if len(events) > store.MaxPut {
		return errors.New("too many")
	}
	r.puts++
	r.writes += len(events)
	for _, e := range events {
		r.kept[e.GetId()] = e
	}
	return nil
}

func (r *ring) List(context.Context, int64) ([]*ruedov1.Event, int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*ruedov1.Event
	for _, e := range r.kept {
		all = append(all, e)
	}
	return all, 9, nil
}

func (r *ring) set(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *ring) all() []*ruedov1.Event {
	all, _, _ := r.List(context.Background(), 0)
	return all
}

func (r *ring) counts() (puts, writes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.puts, r.writes
}

func start(t *testing.T, down bool) (*Recorder, *ring) {
	t.Helper()
	kept := &ring{kept: map[string]*ruedov1.Event{}, down: down}
	r := New(Config{Ring: kept, Core: "core-1", Pause: 10 * time.Millisecond})
	t.Cleanup(r.Close)
	return r, kept
}

// A runner that keeps coming and going is one event: it is written immediately,
// and from then on only now and then.
func TestWhatHappensAgainIsCounted(t *testing.T) {
	r, kept := start(t, false)
	r.Record(lost, "r-1", "first")
	testkit.Eventually(t, "it is written", func() bool { return len(kept.all()) == 1 })
	for i := range 10_000 {
		r.Record(lost, "r-1", fmt.Sprint("again ", i))
	}
	r.Record(lost, "r-2", "once")
	r.Record(ruedov1.EventKind_EVENT_KIND_RUNNER_EJECTED, "r-1", "another kind")
	testkit.Eventually(t, "the others are written", func() bool { return len(kept.all()) == 3 })
	if _, writes := kept.counts(); writes != 3 {
		t.Errorf("%d writes of events", writes)
	}
	r.Close()
	for _, e := range kept.all() {
		want := uint32(1)
		if e.GetObject() == "r-1" && e.GetKind() == lost {
			want = 10_001
			if e.GetText() != "again 9999" || !e.GetTime().AsTime().After(e.GetFirstTime().AsTime()) {
				t.Errorf("%v", e)
			}
		}
		if e.GetCount() != want || e.GetCore() != "core-1" {
			t.Errorf("%v", e)
		}
	}
}

// After ten minutes it is another event.
func TestAnEventEnds(t *testing.T) {
	r, kept := start(t, false)
	now := time.Now()
	k := key{lost, "r-1"}
	r.count(k, "a", now)
	r.wake <- struct{}{}
	testkit.Eventually(t, "it is written", func() bool { return len(kept.all()) == 1 })
	r.count(k, "b", now.Add(window-time.Minute))
	r.count(k, "c", now.Add(window+time.Minute))
	r.wake <- struct{}{}
	testkit.Eventually(t, "there are two", func() bool { return len(kept.all()) == 2 })
}

// However much happens, memory and writes are bounded, and Record does not wait.
func TestAFlood(t *testing.T) {
	kept := &ring{kept: map[string]*ruedov1.Event{}, down: true}
	var dropped int
	r := New(Config{Ring: kept, Core: "core-1", Pause: 10 * time.Millisecond, Observe: func(_ ruedov1.EventKind, ok bool) {
		if !ok {
			dropped++
		}
	}})
	defer r.Close()
	began := time.Now()
	for i := range 5000 {
		r.Record(lost, fmt.Sprint("r-", i), strings.Repeat("\xff…", 2000))
	}
	if took := time.Since(began); took > testkit.Patience {
		t.Errorf("it took %s", took)
	}
	r.mu.Lock()
	if len(r.tracked) != maxTracked || dropped != 5000-maxTracked {
		t.Errorf("%d are in memory, %d were dropped", len(r.tracked), dropped)
	}
	r.mu.Unlock()

	// The store comes back: the first go together, and the others follow at their
	// rate.
	began = time.Now()
	kept.set(false)
	testkit.Eventually(t, "all are written", func() bool { return len(kept.all()) == maxTracked })
	if puts, writes := kept.counts(); writes != maxTracked || puts < 2 {
		t.Errorf("%d writes of %d events", puts, writes)
	}
	if took, least := time.Since(began), (maxTracked-2*burst)*10*time.Millisecond; took < least {
		t.Errorf("all were written within %s, at least %s was expected", took, least)
	}
	for _, e := range kept.all() {
		if len(e.GetText()) > maxText {
			t.Fatalf("a text of %d bytes", len(e.GetText()))
		}
	}
	r.Record(lost, "new", "there is room again")
	testkit.Eventually(t, "it is written", func() bool { return len(kept.all()) == maxTracked+1 })
}

func TestEventsOfAKind(t *testing.T) {
	r, kept := start(t, false)
	r.Record(lost, "r-1", "a")
	r.Record(ruedov1.EventKind_EVENT_KIND_PUBLISHED, "greet@1", "it is live")
	testkit.Eventually(t, "both are written", func() bool { return len(kept.all()) == 2 })
	res, err := r.ListEvents(coretest.Context(t), &ruedov1.ListEventsRequest{Kinds: []ruedov1.EventKind{lost}})
	if err != nil || len(res.GetItems()) != 1 || res.GetItems()[0].GetObject() != "r-1" || res.GetVersion() != 9 {
		t.Errorf("%v, %v", res, err)
	}
}
