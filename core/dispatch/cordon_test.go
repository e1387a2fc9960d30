package dispatch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// cordons returns cordons of members by ada.
func cordons(ms ...*member) map[string]*ruedov1.Cordon {
	all := map[string]*ruedov1.Cordon{}
	for _, m := range ms {
		all[m.id] = &ruedov1.Cordon{Runner: m.id, From: "ada@laptop", Reason: "new disk"}
	}
	return all
}

func TestACordonedRunnerGetsNothingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ms, _ := team(t, 3)
		entered, release := make(chan struct{}), make(chan struct{})
		ms[2].fail = func() error { entered <- struct{}{}; <-release; return nil }
		answered := make(chan error, 1)
		go func() {
			for { // until it is its turn
				who, err := call(d, "p")
				if err != nil || who == ms[2].id {
					answered <- err
					return
				}
			}
		}()
		<-entered
		d.SetCordons(cordons(ms[2]))
		counts(ms)
		for range 10 {
			if who, err := call(d, "p"); err != nil || who == ms[2].id {
				t.Errorf("%s, %v", who, err)
			}
		}
		if _, err := d.Prepare(t.Context(), plan("q")); err != nil {
			t.Error(err)
		}
		d.SetPlans([]*runnerv1.PrepareRequest{plan("r")})
		synctest.Wait()
		if n := ms[2].prepares.Load(); n != 0 {
			t.Errorf("it was asked for %d preparations", n)
		}
		if n, err := d.Ready(); n != 2 || err != nil {
			t.Errorf("%d runners are ready: %v", n, err)
		}
		close(release)
		if err := <-answered; err != nil {
			t.Errorf("the call that was in flight: %v", err)
		}

		// It prepares what it has missed, and is back.
		ms[2].fail = nil
		d.SetCordons(nil)
		synctest.Wait()
		if n := ms[2].prepares.Load(); n != 1 {
			t.Errorf("it was asked for %d preparations, want that of the live plan", n)
		}
		counts(ms)
		for range 9 {
			if _, err := call(d, "r"); err != nil {
				t.Error(err)
			}
		}
		if got := counts(ms); got[0] != 3 || got[1] != 3 || got[2] != 3 {
			t.Errorf("calls: %v", got)
		}
	})
}

// A call that no other runner can take is refused, and is told why.
func TestAllRunnersAreCordoned(t *testing.T) {
	d, ms, _ := team(t, 1)
	d.SetCordons(cordons(ms...))
	_, executed := call(d, "p")
	_, prepared := d.Prepare(t.Context(), plan("p"))
	_, status := d.Prepared("p")
	_, ready := d.Ready()
	for _, err := range []error{executed, prepared, status, ready} {
		e := fault.FromError(err)
		if e.Reason != fault.NoRunner || !e.NotStarted || e.Meta["cordoned"] != "r0" ||
			!strings.Contains(e.Error(), "the only attached runner is cordoned: r0 by ada@laptop (new disk)") {
			t.Errorf("%v", err)
		}
	}
	for i := range 5 {
		m := &member{id: string(rune('a' + i))}
		ms = append(ms, m)
		t.Cleanup(d.Add(m))
	}
	d.SetCordons(cordons(ms...))
	if _, err := call(d, "p"); err == nil || !strings.Contains(err.Error(), "all 6 attached runners are cordoned: a by ada@laptop (new disk), b by ada@laptop (new disk), c by ada@laptop (new disk) and 3 others") {
		t.Errorf("%v", err)
	}
	// One that drains is no reason.
	for _, m := range ms {
		m.away.Store(true)
	}
	if _, err := d.Ready(); err == nil || !strings.Contains(err.Error(), "no runner is attached and ready") {
		t.Errorf("%v", err)
	}
}

// The first runner that a core sees may be cordoned. Calls wait for another one
// all the same.
func TestACordonedRunnerIsNotTheFirstOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dispatch.New(dispatch.Config{})
		defer d.Close()
		first, second := &member{id: "first"}, &member{id: "second"}
		d.SetCordons(cordons(first))
		defer d.Add(first)()
		answered := make(chan error, 1)
		go func() {
			who, err := call(d, "p")
			if who != second.id {
				err = errors.Join(err, errors.New("it went to "+who))
			}
			answered <- err
		}()
		synctest.Wait()
		defer d.Add(second)()
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
}

// A call that a runner refuses is not sent to a cordoned one.
func TestNoSecondAttemptOnACordonedRunner(t *testing.T) {
	d, ms, _ := team(t, 2)
	ms[0].fail = unstarted(fault.QueueFull)
	d.SetCordons(cordons(ms[1]))
	if _, err := d.Execute(context.Background(), &runnerv1.ExecuteRequest{Plan: "p"}); !errors.Is(err, fault.QueueFull) {
		t.Errorf("%v", err)
	}
}
