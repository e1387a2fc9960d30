package admission

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// TestACallWaitsForABoundedTime makes calls wait behind one that does not end.
func TestACallWaitsForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(1, 100)
		hold(t, q, "hog", 1)
		began := time.Now()
		err := q.acquire(t.Context(), "hog", 5*time.Second)
		if e := fault.FromError(err); e.Reason != fault.QueueTimeout || !e.NotStarted || e.Fix == "" || e.Meta["limit"] != "5s" {
			t.Errorf("a call that waited for 5 s: %+v", err)
		}
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("it waited for %s", waited)
		}

		// Its own deadline comes first.
		began = time.Now()
		if err := q.acquire(soon(t), "hog", 5*time.Second); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("a call with a deadline of 1 s: %v after %s", err, time.Since(began))
		}
		late := unaware{t.Context(), time.Now().Add(time.Second)}
		if err := q.acquire(late, "hog", 5*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call with a deadline of 1 s whose context ends late: %v", err)
		}

		// A call that waited for less gets the slot, and the queue counts right.
		got := make(chan *fault.Error)
		go func() { got <- q.acquire(t.Context(), "hog", 5*time.Second) }()
		time.Sleep(5*time.Second - time.Millisecond)
		q.release("hog", 0)
		if err := <-got; err != nil {
			t.Error(err)
		}
		q.release("hog", 0)
		empty(t, q)
	})
}

// unaware is a context that does not end with its deadline: on a busy machine, its
// timer is late.
type unaware struct {
	context.Context
	deadline time.Time
}

func (c unaware) Deadline() (time.Time, bool) { return c.deadline, true }

// TestASlotThatComesWithTheTimeoutIsUsed releases a slot at the very moment at
// which the waiting call gives up.
func TestASlotThatComesWithTheTimeoutIsUsed(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			q := open(1, 100)
			hold(t, q, "a", 1)
			time.AfterFunc(time.Second, func() { q.release("a", 0) })
			switch err := q.acquire(t.Context(), "a", time.Second); {
			case err == nil:
				q.release("a", 0)
			case err.Reason != fault.QueueTimeout:
				t.Errorf("got %v", err)
			}
			time.Sleep(time.Second) // in the bubble, until the slot was released
			synctest.Wait()
			empty(t, q)
		})
	}
}

// TestACallThatNeedNotWaitHasNoTimer measures what a free slot costs.
func TestACallThatNeedNotWaitHasNoTimer(t *testing.T) {
	q := open(2, 100)
	hold(t, q, "a", 1) // so that the state of the service stays
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if q.acquire(ctx, "a", patience) == nil {
			q.release("a", 0)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEnter(b *testing.B) {
	q := open(2, 100)
	p := &plan{}
	acquire := func() (*plan, *fault.Error) { return p, nil }
	b.ReportAllocs()
	for b.Loop() {
		slot, err := q.Enter(b.Context(), "a", patience, acquire)
		if err != nil {
			b.Fatal(err)
		}
		slot.Release(0)
	}
}
