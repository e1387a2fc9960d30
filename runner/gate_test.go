package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// hold has calls of a service execute until the context of the test ends.
func hold(t *testing.T, g *gate, service string, calls int) {
	t.Helper()
	for range calls {
		if err := g.acquire(t.Context(), service); err != nil {
			t.Fatal(err)
		}
	}
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestGateKeepsServicesApart has one service hold all slots: another one has its
// first call executed at once, and waits with its second.
func TestGateKeepsServicesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(4, 100)
		hold(t, g, "hog", 4)
		if err := g.acquire(soon(t), "hog"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fifth call of four: %v", err)
		}
		began := time.Now()
		for _, service := range []string{"a", "b", "c", "d"} {
			hold(t, g, service, 1)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the others waited for %s", waited)
		}
		// As many again as the concurrency, and no more.
		for _, service := range []string{"a", "e"} {
			if err := g.acquire(soon(t), service); !errors.Is(err, context.DeadlineExceeded) || !fault.Of(err).NotStarted {
				t.Errorf("a ninth call: %v", err)
			}
		}
		// A slot beyond the concurrency is not handed on.
		g.release("hog")
		if err := g.acquire(soon(t), "hog"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the hog got a slot beyond the concurrency: %v", err)
		}
	})
}

// TestGateTakesTurns has two services wait, one with many calls before the other
// with one: they are let in by turns.
func TestGateTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(4, 100)
		hold(t, g, "hog", 2)
		hold(t, g, "other", 2)
		got := make(chan string, 4)
		for n, service := range []string{"hog", "hog", "hog", "other"} {
			go func() {
				if err := g.acquire(t.Context(), service); err != nil {
					t.Error(err)
				}
				got <- fmt.Sprint(service, n)
			}()
			synctest.Wait()
		}
		var order []string
		for _, service := range []string{"hog", "hog", "other", "hog"} {
			g.release(service)
			order = append(order, <-got)
		}
		if want := []string{"hog0", "other3", "hog1", "hog2"}; !slices.Equal(order, want) {
			t.Errorf("they were let in as %v, want %v", order, want)
		}
		for range 2 {
			g.release("other")
			g.release("hog")
		}
		if len(g.services) != 0 || len(g.waiting) != 0 || g.executing != 0 {
			t.Errorf("the gate remembers %+v", g)
		}
	})
}

// TestGateHandsOnAllThatIsFree has a service's only call end while it and another
// service wait: the slot goes to the other, whose turn it is, and the service that
// has nothing executing any more does not wait for it.
func TestGateHandsOnAllThatIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, 100)
		hold(t, g, "hog", 1)
		hold(t, g, "other", 1)
		got := make(chan string, 2)
		for _, service := range []string{"hog", "other"} {
			go func() {
				if err := g.acquire(t.Context(), service); err != nil {
					t.Error(err)
				}
				got <- service
			}()
			synctest.Wait()
		}
		g.release("other")
		synctest.Wait()
		if len(got) != 2 {
			t.Errorf("%d of two were let in", len(got))
		}
	})
}

// TestGateLosesNoSlot has calls give up while they wait, at the very moment at
// which others leave.
func TestGateLosesNoSlot(t *testing.T) {
	const concurrency, services, rounds = 2, 3, 2000
	g := newGate(concurrency, 1000)
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
					if g.acquire(ctx, service) == nil {
						g.release(service)
					}
					cancel()
				}
			}()
		}
	}
	for range services * 4 {
		<-done
	}
	if len(g.services) != 0 || len(g.waiting) != 0 || g.executing != 0 {
		t.Errorf("the gate remembers %+v", g)
	}
}

// TestGateKeepsRoomForOthers fills the room to wait in with one service.
func TestGateKeepsRoomForOthers(t *testing.T) {
	g := newGate(4, 96)
	admitted := 0
	var err error
	for ; err == nil; admitted++ {
		err = g.admit("hog")
	}
	admitted--
	if e := fault.Of(err); e.Reason != fault.QueueFull || !e.NotStarted || e.Meta["limit"] != "75" || admitted != 75 {
		t.Errorf("after %d calls of one service: %v", admitted, err)
	}
	for n := range 25 {
		if err := g.admit(fmt.Sprint("other", n)); err != nil {
			t.Errorf("call %d of others: %v", n, err)
		}
	}
	if e := fault.Of(g.admit("last")); e.Reason != fault.QueueFull || e.Meta["limit"] != "100" {
		t.Errorf("the 101st call: %v", e)
	}
	for n := range 25 {
		g.leave(fmt.Sprint("other", n))
	}
	for range admitted {
		g.leave("hog")
	}
	if len(g.services) != 0 || g.calls != 0 {
		t.Errorf("the gate remembers %+v", g)
	}
	// Without room to wait in, one service may have all slots.
	if g := newGate(1, 0); g.admit("only") != nil {
		t.Error("a call was refused by a runner that has nothing to do")
	}
}
