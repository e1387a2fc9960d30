package lane

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestABudgetIsSharedInOrderAndNobodyGetsMoreThanHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		var mu sync.Mutex
		var got []string
		ask := func(owner string, bytes int64) {
			go func() {
				if b.acquire(t.Context(), nil, owner, bytes) {
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
		b.release("b", 40)
		want("c30", "d10")
		b.release("a", 60)
		want("a10")
		b.release("a", 10)
		b.release("c", 30)
		b.release("d", 10)
		if b.free != 100 || len(b.held) != 0 || len(b.queue) != 0 {
			t.Errorf("left over: %d free, held %v, %d wait", b.free, b.held, len(b.queue))
		}
	})
}

func TestWhoGivesUpWaitingHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		if !b.acquire(t.Context(), nil, "a", 50) {
			t.Fatal("refused")
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		results := make(chan bool, 3)
		go func() { results <- b.acquire(ctx, nil, "b", 100) }()
		synctest.Wait()
		go func() { results <- b.acquire(t.Context(), gone, "c", 100) }()
		synctest.Wait()
		go func() { results <- b.acquire(t.Context(), nil, "d", 50) }()
		synctest.Wait()
		cancel()
		close(gone)
		if got := []bool{<-results, <-results, <-results}; got[0] || got[1] || !got[2] {
			t.Error("those that gave up got it, or the one behind them did not")
		}
		b.release("a", 50)
		b.release("d", 50)
		if b.free != 100 || len(b.queue) != 0 {
			t.Errorf("left over: %d free, %d wait", b.free, len(b.queue))
		}
	})
}

func TestAttemptsOfAnAddressAreBoundedInRateAndThoseOfOthersAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := peers{all: 1000, each: 10, by: make(map[string]*peer)}
		try := func(addr string) bool {
			leave, err := p.enter(addr)
			if err == nil {
				leave()
				leave() // a second call does nothing
			}
			return err == nil
		}
		in := 0
		for i := range 100 {
			if try(fmt.Sprintf("[2001:db8:1:2::%x]:%d", i, i)) { // one network
				in++
			}
		}
		if in != 10 {
			t.Errorf("%d of 100 attempts were let in, want 10", in)
		}
		if !try("[2001:db8:1:3::1]:1") || !try("192.0.2.1:1") || !try("[::ffff:192.0.2.1]:1") {
			t.Error("another address was refused")
		}
		time.Sleep(time.Second)
		for in = 0; try("[2001:db8:1:2::1]:1"); in++ {
		}
		if in != attachRate {
			t.Errorf("%d a second are let in", in)
		}
		for i := range 100_000 {
			try(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
		}
		if len(p.by) > maxPeers || p.lanes != 0 {
			t.Errorf("%d addresses are remembered, %d lanes", len(p.by), p.lanes)
		}
	})
}

func TestLinesAreLeftOutAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sparse
		written := 0
		for range 1000 {
			if _, ok := s.next(); ok {
				written++
			}
		}
		time.Sleep(time.Second)
		omitted, ok := s.next()
		if written != sparseBurst || !ok || omitted != 1000-sparseBurst {
			t.Errorf("%d written, then %d left out, %t", written, omitted, ok)
		}
	})
}
