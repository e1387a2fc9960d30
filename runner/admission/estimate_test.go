package admission

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// teach makes the queue know how long the calls of a service take. It must have a
// call that executes, so that the queue remembers it.
func teach(q *queue, service string, took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range 20 {
		q.share(service).pace.add(took)
	}
}

// wait makes n calls of a service wait until the test's context ends.
func wait(t *testing.T, q *queue, service string, n int) {
	t.Helper()
	for range n {
		go func() { _ = q.acquire(t.Context(), service, patience) }()
		synctest.Wait()
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A call that cannot start in time does not wait for that: neither beyond what it
// may wait, nor if it could not end before its own deadline.
func TestACallThatCannotStartInTimeIsRefusedImmediately(t *testing.T) {
	for what, tt := range map[string]struct {
		maxWait, deadline time.Duration // 0 means none
		refused           bool
	}{
		"enough time":                               {maxWait: 7 * time.Second},
		"a queue timeout below the estimate":        {maxWait: 4 * time.Second, refused: true},
		"a queue timeout that is just enough":       {maxWait: 6 * time.Second, refused: true},
		"a deadline below the estimate":             {deadline: 3 * time.Second, refused: true},
		"a deadline with no time left to execute":   {deadline: 6500 * time.Millisecond, refused: true},
		"a deadline with time to wait and execute":  {deadline: 8 * time.Second},
		"a deadline that a longer wait cannot help": {maxWait: time.Minute, deadline: 4 * time.Second, refused: true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := open(2, 100)
				hold(t, q, "a", 2)
				teach(q, "a", time.Second)
				wait(t, q, "a", 10) // with the one that ends next, 11 calls of 1 s over 2 slots: 5.5 s
				maxWait, ctx := patience, within(t, time.Hour)
				if tt.maxWait > 0 {
					maxWait = tt.maxWait
				}
				if tt.deadline > 0 {
					ctx = within(t, tt.deadline)
				}
				began := time.Now()
				err := q.acquire(ctx, "a", maxWait)
				took := time.Since(began)
				if !tt.refused {
					if want := cmp.Or(tt.maxWait, tt.deadline); err == nil || took != want {
						t.Errorf("%v after %s, want it to wait for %s", err, took, want)
					}
					return
				}
				if err == nil || err.Reason != fault.QueueTimeout || !err.NotStarted || executor.HasWaited(err) || took != 0 {
					t.Fatalf("%v after %s, want QUEUE_TIMEOUT immediately", err, took)
				}
				if err.RetryDelay() != 5500*time.Millisecond || err.Meta["estimate"] != "5.5s" || err.Fix == "" {
					t.Errorf("try again after %s, %v", err.RetryDelay(), err.Meta)
				}
			})
		})
	}
}

// The first call in the line of a service waits whatever the estimate says, so that
// the estimate can become better. The same holds for a service that is not known.
func TestAnEstimateLocksNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(1, 100)
		hold(t, q, "slow", 1)
		teach(q, "slow", time.Hour)
		began := time.Now()
		err := q.acquire(t.Context(), "slow", time.Second)
		if err == nil || !executor.HasWaited(err) || time.Since(began) != time.Second {
			t.Fatalf("the first in the line: %v after %s", err, time.Since(began))
		}
		if err.RetryAfter != time.Hour {
			t.Errorf("it is asked to come again after %s", err.RetryAfter)
		}
		hold(t, q, "unknown", 1)
		wait(t, q, "unknown", 20)
		began = time.Now()
		if err := q.acquire(t.Context(), "unknown", time.Second); err == nil || !executor.HasWaited(err) || time.Since(began) != time.Second {
			t.Errorf("a service that is not known: %v after %s", err, time.Since(began))
		}
	})
}

// Services take turns, so a long line of one adds no more to the wait of another
// than its turns.
func TestTheEstimateKnowsThatServicesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(2, 100)
		hold(t, q, "hog", 2)
		hold(t, q, "other", 1)
		teach(q, "hog", time.Second)
		teach(q, "other", 100*time.Millisecond)
		wait(t, q, "hog", 30)
		wait(t, q, "other", 1)
		q.mu.Lock()
		defer q.mu.Unlock()
		for service, want := range map[string]time.Duration{
			"other": (2*100*time.Millisecond + 2*time.Second) / 2, // one of its own and the one that ends next, two turns of the hog
			"hog":   (31*time.Second + 100*time.Millisecond) / 2,  // its own, and the only one of the other
		} {
			if got := q.wait(q.share(service)); got != want {
				t.Errorf("a call of %s would wait %s, want %s", service, got, want)
			}
		}
	})
}

// A call whose turn comes when it can no longer end in time does not take the slot
// from those behind it.
func TestATurnThatComesTooLateGoesToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(1, 100)
		hold(t, q, "a", 1)
		teach(q, "a", time.Second)
		errs := make(chan *fault.Error, 2)
		go func() { errs <- q.acquire(within(t, 1500*time.Millisecond), "a", patience) }()
		synctest.Wait()
		go func() { errs <- q.acquire(t.Context(), "a", patience) }()
		synctest.Wait()
		time.Sleep(time.Second) // in the bubble: 500 ms are left for a call of 1 s
		q.release("a", time.Second)
		synctest.Wait()
		if len(errs) != 2 {
			t.Fatalf("%d of two are decided", len(errs))
		}
		for range 2 {
			if err := <-errs; err != nil && (err.Reason != fault.QueueTimeout || !err.NotStarted || !executor.HasWaited(err) || err.RetryAfter != time.Second) {
				t.Errorf("the late call: %v, again after %s", err, err.RetryAfter)
			}
		}
		q.release("a", 0)
		empty(t, q)
	})
}

// Refusals say when there is room again.
func TestAFullQueueSaysWhenToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(1, 4)
		p := &plan{bound: Concurrency{Limit: 4}}
		for range 4 {
			go func() { _, _ = enter(t.Context(), q, "a", p) }()
			synctest.Wait()
		}
		teach(q, "a", 500*time.Millisecond)
		if _, err := enter(t.Context(), q, "a", p); fault.FromError(err).Reason != fault.QueueFull || fault.FromError(err).RetryAfter != 2*time.Second {
			t.Errorf("behind three that wait: %v, %s", err, fault.FromError(err).RetryAfter)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		q := open(1, 100)
		p := &plan{bound: Concurrency{Limit: 1}}
		if _, err := enter(t.Context(), q, "a", p); err != nil {
			t.Fatal(err)
		}
		teach(q, "a", 300*time.Millisecond)
		if _, err := enter(t.Context(), q, "a", p); fault.FromError(err).Reason != fault.ConcurrencyLimit || fault.FromError(err).RetryAfter != 300*time.Millisecond {
			t.Errorf("beyond the limit of its own: %v, %s", err, fault.FromError(err).RetryAfter)
		}
	})
}

// TestOverloadKeepsTheSlotsUseful offers five times what a queue can execute, with
// deadlines that leave room for a few calls in line. Almost all that begins ends in
// time, the slots are busy throughout, and who is refused learns it immediately.
func TestOverloadKeepsTheSlotsUseful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			slots    = 4
			service  = 100 * time.Millisecond
			deadline = 500 * time.Millisecond
			seconds  = 20
			capacity = int(slots * time.Second / service)
		)
		q := open(slots, 256)
		var good, wasted, slow, refused int
		results := make(chan struct {
			began, ended time.Time
			err          error
		}, 5*capacity*seconds)
		for n := range 5 * capacity * seconds {
			time.Sleep(time.Second / time.Duration(5*capacity))
			// Calls differ from each other, by up to a half.
			work := service/2 + service*time.Duration((n*7919)%100)/100
			go func() {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				slot, err := q.Enter(ctx, "a", patience, func() (*plan, *fault.Error) { return &plan{}, nil })
				if err == nil {
					executing := time.Now()
					select {
					case <-time.After(work):
					case <-ctx.Done():
						err = ctx.Err()
					}
					slot.Release(time.Since(executing))
				}
				results <- struct {
					began, ended time.Time
					err          error
				}{began, time.Now(), err}
			}()
		}
		for range cap(results) {
			r := <-results
			switch e := fault.FromError(r.err); {
			case r.err == nil:
				good++
			case !e.NotStarted:
				wasted++
			default:
				if refused++; r.ended.Sub(r.began) > 50*time.Millisecond {
					slow++
				}
			}
		}
		t.Logf("%d in time of %d possible, %d executed for nothing, %d refused, %d of these late", good, capacity*seconds, wasted, refused, slow)
		if good < capacity*seconds*9/10 || slow > refused/100 {
			t.Errorf("%d in time of %d possible, %d of %d refusals after more than 50 ms", good, capacity*seconds, slow, refused)
		}
		empty(t, q)
	})
}

func BenchmarkRefuse(b *testing.B) {
	q := open(1, 1000)
	if q.acquire(b.Context(), "a", patience) != nil {
		b.Fatal("no slot")
	}
	teach(q, "a", time.Second)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{}, 100)
	for range cap(done) {
		go func() { _ = q.acquire(ctx, "a", patience); done <- struct{}{} }()
	}
	for {
		q.mu.Lock()
		n := len(q.services["a"].waiters)
		q.mu.Unlock()
		if n == cap(done) {
			break
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if q.acquire(ctx, "a", time.Second) == nil {
			b.Fatal(fmt.Errorf("a call got a slot"))
		}
	}
	cancel()
	for range cap(done) {
		<-done
	}
}
