package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// plan is always ready.
type plan struct {
	bound    Concurrency
	released atomic.Int64
}

func (p *plan) Concurrency() *Concurrency { return &p.bound }

func (p *plan) Release() { p.released.Add(1) }

type queue = Queue[*plan]

// patience is longer than any test waits.
const patience = time.Hour

func open(concurrency, waiting int) *queue {
	return New[*plan](Config{Runner: "r", Concurrency: concurrency, Queue: waiting, Streams: 400})
}

// hold makes calls of a service execute until the test's context ends.
func hold(t *testing.T, q *queue, service string, calls int) {
	t.Helper()
	for range calls {
		if err := q.acquire(t.Context(), service, patience); err != nil {
			t.Fatal(err)
		}
	}
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestQueueKeepsServicesApart has one service hold all slots. The first call of
// another service executes immediately, and its second one waits.
func TestQueueKeepsServicesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(4, 100)
		hold(t, q, "hog", 4)
		if err := q.acquire(soon(t), "hog", patience); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fifth call of four: %v", err)
		}
		began := time.Now()
		for _, service := range []string{"a", "b", "c", "d"} {
			hold(t, q, service, 1)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the others waited for %s", waited)
		}
		// Twice the concurrency, and no more.
		for _, service := range []string{"a", "e"} {
			if _, err := enter(soon(t), q, service, &plan{}); !errors.Is(err, context.DeadlineExceeded) || !fault.FromError(err).NotStarted {
				t.Errorf("a ninth call: %v", err)
			}
		}
		// A slot beyond the concurrency is not passed on.
		q.release("hog", 0)
		if err := q.acquire(soon(t), "hog", patience); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the hog got a slot beyond the concurrency: %v", err)
		}
	})
}

// TestQueueTakesTurns makes two services wait, one with many calls and, after
// it, one with a single call: they are let in by turns.
func TestQueueTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(4, 100)
		hold(t, q, "hog", 2)
		hold(t, q, "other", 2)
		got := make(chan string, 4)
		for n, service := range []string{"hog", "hog", "hog", "other"} {
			go func() {
				if err := q.acquire(t.Context(), service, patience); err != nil {
					t.Error(err)
				}
				got <- fmt.Sprint(service, n)
			}()
			synctest.Wait()
		}
		var order []string
		for _, service := range []string{"hog", "hog", "other", "hog"} {
			q.release(service, 0)
			order = append(order, <-got)
		}
		if want := []string{"hog0", "other3", "hog1", "hog2"}; !slices.Equal(order, want) {
			t.Errorf("they were let in as %v, want %v", order, want)
		}
		for range 2 {
			q.release("other", 0)
			q.release("hog", 0)
		}
		if len(q.services) != 0 || len(q.waiting) != 0 || q.executing != 0 {
			t.Errorf("the queue remembers %+v", q)
		}
	})
}

// TestQueueHandsOnAllThatIsFree ends a service's only call while it and another
// service wait. The slot goes to the other, whose turn it is; and the first
// service, which has no executing call left, does not wait for that.
func TestQueueHandsOnAllThatIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(2, 100)
		hold(t, q, "hog", 1)
		hold(t, q, "other", 1)
		got := make(chan string, 2)
		for _, service := range []string{"hog", "other"} {
			go func() {
				if err := q.acquire(t.Context(), service, patience); err != nil {
					t.Error(err)
				}
				got <- service
			}()
			synctest.Wait()
		}
		q.release("other", 0)
		synctest.Wait()
		if len(got) != 2 {
			t.Errorf("%d of two were let in", len(got))
		}
	})
}

// TestQueueLosesNoSlot makes calls give up while they wait, at the very moment
// when others leave.
func TestQueueLosesNoSlot(t *testing.T) {
	const concurrency, services, rounds = 2, 3, 2000
	q := open(concurrency, 1000)
	done := make(chan struct{})
	for s := range services {
		for range 4 {
			go func() {
				defer func() { done <- struct{}{} }()
				service := fmt.Sprint("s", s)
				for n := range rounds {
					ctx, cancel := context.WithCancel(t.Context())
					if n%3 == 0 {
						go cancel()
					}
					if q.acquire(ctx, service, patience) == nil {
						q.release(service, 0)
					}
					cancel()
				}
			}()
		}
	}
	for range services * 4 {
		<-done
	}
	if len(q.services) != 0 || len(q.waiting) != 0 || q.executing != 0 {
		t.Errorf("the queue remembers %+v", q)
	}
}

// TestQueueKeepsRoomForOthers fills the queue with one service.
func TestQueueKeepsRoomForOthers(t *testing.T) {
	q := open(4, 96)
	admitted := 0
	var err *fault.Error
	for ; err == nil; admitted++ {
		err = q.admit("hog", nil)
	}
	admitted--
	_, refused := enter(t.Context(), q, "hog", &plan{})
	if e := fault.FromError(refused); e.Reason != fault.QueueFull || !e.NotStarted || e.Meta["limit"] != "75" || admitted != 75 {
		t.Errorf("after %d calls of one service: %v", admitted, err)
	}
	for n := range 25 {
		if err := q.admit(fmt.Sprint("other", n), nil); err != nil {
			t.Errorf("call %d of others: %v", n, err)
		}
	}
	if e := q.admit("last", nil); e.Reason != fault.QueueFull || e.Meta["limit"] != "100" {
		t.Errorf("the 101st call: %v", e)
	}
	for n := range 25 {
		q.leave(fmt.Sprint("other", n), nil)
	}
	for range admitted {
		q.leave("hog", nil)
	}
	if len(q.services) != 0 || q.calls != 0 {
		t.Errorf("the queue remembers %+v", q)
	}
	// Without room to wait, one service can have all slots.
	if q := open(1, 0); q.admit("only", nil) != nil {
		t.Error("a call was refused by a runner that has nothing to do")
	}
}

func enter(ctx context.Context, q *queue, service string, p *plan) (Slot[*plan], error) {
	return q.Enter(ctx, service, patience, func() (*plan, *fault.Error) { return p, nil })
}

// empty fails the test if the queue still counts anything.
func empty(t *testing.T, q *queue) {
	t.Helper()
	if len(q.services) != 0 || len(q.waiting) != 0 || q.calls != 0 || q.open != 0 || q.executing != 0 {
		t.Errorf("the queue remembers %+v", q)
	}
}

// TestEnterUndoesWhatItDid makes a call fail at each step, and one succeed.
func TestEnterUndoesWhatItDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(1, 100)
		p := &plan{bound: Concurrency{Limit: 2}}
		slot, err := enter(t.Context(), q, "a", p)
		if err != nil || slot.Plan != p {
			t.Fatal(err)
		}
		noPlan := func() (*plan, *fault.Error) { return nil, fault.New(fault.PlanNotFound, "no plan") }
		if _, err := q.Enter(t.Context(), "a", patience, noPlan); fault.FromError(err).Reason != fault.PlanNotFound || !fault.FromError(err).NotStarted {
			t.Errorf("a call without a plan: %v", err)
		}
		if _, err := enter(soon(t), q, "a", p); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call without a slot: %v", err)
		}
		go func() {
			waits, err := enter(t.Context(), q, "a", p)
			if err != nil {
				t.Error(err)
			}
			waits.Release(0)
		}()
		synctest.Wait()
		_, err = enter(t.Context(), q, "a", p)
		if e := fault.FromError(err); e.Reason != fault.ConcurrencyLimit || !e.NotStarted || e.Meta["limit"] != "2" {
			t.Errorf("a third call of two: %v", err)
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = q.Enter(t.Context(), "a", patience, func() (*plan, *fault.Error) { panic("a bug") })
		}()
		slot.Release(0)
		synctest.Wait()
		empty(t, q)
		if p.bound.calls.Load() != 0 || p.released.Load() != 4 {
			t.Errorf("%d calls, the plan was released %d times", p.bound.calls.Load(), p.released.Load())
		}
	})
}

// TestWaitEndsWithTheLastCall closes a queue with a call and a preparation in flight.
func TestWaitEndsWithTheLastCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(1, 0)
		slot, err := enter(t.Context(), q, "a", &plan{})
		if err == nil {
			err = q.Begin()
		}
		if err != nil {
			t.Fatal(err)
		}
		q.Close()
		if _, err := enter(t.Context(), q, "a", &plan{}); fault.FromError(err).Reason != fault.RunnerDraining || !fault.FromError(err).NotStarted {
			t.Errorf("a call after Close: %v", err)
		}
		if err := q.Begin(); fault.FromError(err).Reason != fault.RunnerDraining || !q.Closed() {
			t.Errorf("a preparation after Close: %v", err)
		}
		if err := q.Wait(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait with two in flight: %v", err)
		}
		done := make(chan error)
		go func() { done <- q.Wait(t.Context()) }()
		slot.Release(0)
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("Wait ended with one in flight: %v", err)
		default:
		}
		q.End()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := q.Wait(t.Context()); err != nil {
			t.Errorf("Wait with nothing in flight: %v", err)
		}
		empty(t, q)
	})
}
