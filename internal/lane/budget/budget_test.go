package budget

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func TestABudgetIsSharedInOrderAndNobodyGetsMoreThanHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		var mu sync.Mutex
		var got []string
		ask := func(owner string, bytes int64) {
			go func() {
				if b.Acquire(t.Context(), nil, owner, bytes) {
					mu.Lock()
					got = append(got, fmt.Sprint(owner, bytes))
					mu.Unlock()
				}
			}()
			synctest.Wait()
		}
		want := func(names ...string) {
			t.Helper()
			synctest.Wait()
			slices.Sort(got)
			if !slices.Equal(got, names) {
				t.Errorf("got %v, want %v", got, names)
			}
			got = nil
		}
		ask("a", 60) // more than half, but its first
		ask("a", 10) // over its share
		ask("b", 40)
		ask("c", 30) // nothing is left
		ask("d", 10) // would fit after some release, but c was first
		want("a60", "b40")
		b.Release("b", 40)
		want("c30", "d10")
		b.Release("a", 60)
		want("a10")
		b.Release("a", 10)
		b.Release("c", 30)
		b.Release("d", 10)
		if b.free != 100 || len(b.held) != 0 || len(b.queue) != 0 {
			t.Errorf("left over: %d free, held %v, %d wait", b.free, b.held, len(b.queue))
		}
	})
}

func TestWhoGivesUpWaitingHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		if !b.Acquire(t.Context(), nil, "a", 50) {
			t.Fatal("refused")
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		results := make(chan bool, 3)
		go func() { results <- b.Acquire(ctx, nil, "b", 100) }()
		synctest.Wait()
		go func() { results <- b.Acquire(t.Context(), gone, "c", 100) }()
		synctest.Wait()
		go func() { results <- b.Acquire(t.Context(), nil, "d", 50) }()
		synctest.Wait()
		cancel()
		close(gone)
		if got := []bool{<-results, <-results, <-results}; got[0] || got[1] || !got[2] {
			t.Error("those that gave up got it, or the one behind them did not")
		}
		b.Release("a", 50)
		b.Release("d", 50)
		if b.free != 100 || len(b.queue) != 0 {
			t.Errorf("left over: %d free, %d wait", b.free, len(b.queue))
		}
	})
}
