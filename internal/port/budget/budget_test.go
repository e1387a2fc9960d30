package budget

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Many requests that together want more than the budget are served one after
// the other, in FIFO order, and use no CPU while they wait.
func TestRoomIsGivenInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{Limit: 100}
		if !b.take(100, 0) {
			t.Fatal("an empty budget has no room")
		}
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		asked := 0
		for i := range 10 {
			wg.Go(func() {
				if !b.wait(t.Context().Done(), 60, 0, time.Minute, func() { mu.Lock(); asked++; mu.Unlock() }) {
					t.Errorf("%d got no room", i)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(100 * time.Millisecond)
				b.release(60)
			})
			synctest.Wait() // it is in the queue
		}
		if !b.take(0, 0) {
			t.Error("what fits does not have to wait")
		}
		b.release(100)
		wg.Wait()
		for i, n := range order {
			if i != n {
				t.Fatalf("the order is %v", order)
			}
		}
		if used := b.used.Load(); used != 0 || len(b.queue) != 0 {
			t.Errorf("%d are still charged, %d still wait", used, len(b.queue))
		}
		if asked > 30 {
			t.Errorf("room was asked for %d times", asked)
		}
	})
}

func TestWaitingForRoomEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{Limit: 100}
		b.take(100, 0)
		began := time.Now()
		if b.wait(t.Context().Done(), 1, 0, 5*time.Second, func() {}) || time.Since(began) != 5*time.Second {
			t.Errorf("it ended after %s", time.Since(began))
		}
		done := make(chan struct{})
		close(done)
		if b.wait(done, 1, 0, time.Minute, func() {}) {
			t.Error("the caller is gone, and got room")
		}
		// A request that is alone gets more than the budget.
		b.release(100)
		if !b.take(1000, 0) || b.take(1, 0) {
			t.Error("a request over the budget is let in if it is alone, and none next to it")
		}
	})
}

// A body of unknown length is charged as it arrives. If nothing else is charged,
// it is not refused for what it holds itself.
func TestARequestAloneMayGrowOverTheBudget(t *testing.T) {
	b := &Budget{Limit: 100}
	if !b.take(60, 0) || !b.take(60, 60) {
		t.Error("a request alone was refused")
	}
	if b.take(1, 0) {
		t.Error("another one got room that is not there")
	}
	b.release(120)
	if !b.take(60, 0) || !b.take(30, 0) || b.take(60, 60) {
		t.Error("two requests do not share the budget")
	}
}
