package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// callOf calls a service and returns who has answered.
func callOf(d *dispatch.Dispatcher, service string) (string, error) {
	res, err := d.Execute(context.Background(), &runnerv1.ExecuteRequest{Plan: "plan of " + service, Service: service})
	return res.GetInfo().GetRunner(), err
}

func broken() error { return fault.New(fault.Internal, "internal error on this runner") }

// A runner that fails as a host is taken out, comes back on trial, and is out for
// longer each time that it fails the trial.
func TestARunnerThatFailsIsEjectedForAGrowingTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ejected, readmitted atomic.Int64
		d := dispatch.New(dispatch.Config{StartWait: -1, Ejected: func(runner string, e *ruedov1.Ejection) {
			if runner != "bad" || e.GetCause() != dispatch.CauseFaults {
				t.Errorf("%s is ejected: %v", runner, e)
			}
			ejected.Add(1)
		}, Readmitted: func(runner string) {
			if runner != "bad" {
				t.Errorf("%s gets calls again", runner)
			}
			readmitted.Add(1)
		}})
		defer d.Close()
		bad := &member{id: "bad", fail: broken}
		for _, m := range []*member{{id: "a"}, bad, {id: "b"}} {
			defer d.Add(m)()
		}
		failures := func() (n int) {
			for i := range 60 {
				if _, err := callOf(d, fmt.Sprint("s", i%3)); err != nil {
					n++
				}
			}
			return n
		}
		if n := failures(); n != 5 {
			t.Errorf("%d calls failed, want 5 until it was ejected", n)
		}
		e := d.Ejections()["bad"]
		if e.GetCause() != dispatch.CauseFaults || e.GetWaived() || !strings.HasPrefix(e.GetMessage(), "INTERNAL: internal error on this runner") ||
			e.GetProbeTime().AsTime().Sub(e.GetEjectTime().AsTime()) != time.Second {
			t.Errorf("%v", e)
		}
		if n, err := d.Ready(); n != 2 || err != nil {
			t.Errorf("%d runners get calls: %v", n, err)
		}
		for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute} {
			if got := d.Ejections()["bad"]; got.GetProbeTime().AsTime().Sub(got.GetEjectTime().AsTime()) != wait {
				t.Errorf("it is out for %s, want %s", got.GetProbeTime().AsTime().Sub(got.GetEjectTime().AsTime()), wait)
			}
			time.Sleep(wait - time.Millisecond)
			if n := failures(); n != 0 {
				t.Errorf("%d calls failed while it was out", n)
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			if n := failures(); n != 1 {
				t.Errorf("%d calls failed after it came back, want one", n)
			}
		}
		if n := ejected.Load(); n != 9 {
			t.Errorf("%d ejections were counted", n)
		}

		// It is repaired, and forgiven after a while.
		bad.fail = nil
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := failures(); n != 0 || len(d.Ejections()) != 0 || bad.calls.Load() == 0 {
			t.Errorf("%d calls failed: %v", n, d.Ejections())
		}
		if n := readmitted.Load(); n != 9 {
			t.Errorf("it came back %d times, want 9", n)
		}
		time.Sleep(6 * time.Minute)
		bad.fail = broken
		if n := failures(); n != 5 {
			t.Errorf("%d calls failed, want 5", n)
		}
		if got := d.Ejections()["bad"]; got.GetProbeTime().AsTime().Sub(got.GetEjectTime().AsTime()) != time.Second {
			t.Errorf("%v", got)
		}
	})
}

// What a guest does is no fault of its runner, whatever the reason is; nor is it
// what a runner refuses, or a caller gives up.
func TestErrorsOfGuestsEjectNobody(t *testing.T) {
	for _, reason := range []fault.Reason{
		fault.GuestError, fault.GuestExit, fault.GuestTrap, fault.GuestTimeout, fault.GuestMemory, fault.GuestOutputLimit, fault.GuestCPU,
		fault.HostCallLimit, fault.CompileFailed, fault.QueueFull, fault.QueueTimeout, fault.Canceled, fault.Deadline, fault.RunnerLost,
	} {
		d, ms, _ := team(t, 2)
		ms[1].fail = func() error { return fault.New(reason, "of the guest") }
		for range 40 {
			_, _ = callOf(d, "s")
		}
		if got := d.Ejections(); len(got) != 0 || ms[1].calls.Load() != 20 {
			t.Errorf("%s: %v after %d calls", reason, got, ms[1].calls.Load())
		}
	}
}

// A service that makes every runner fail is to blame, not the runners.
func TestAServiceThatFailsOnEachRunnerEjectsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ms, _ := team(t, 4)
		for range 1000 {
			for _, m := range ms {
				m.fail = broken
			}
			_, _ = callOf(d, "poison")
			for _, m := range ms {
				m.fail = nil
			}
			for range 2 {
				if _, err := callOf(d, "good"); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		if got := d.Ejections(); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

// A single failure now and then is forgotten; one in every few calls is not.
func TestTheShareOfFailuresCounts(t *testing.T) {
	for every, want := range map[int]bool{2: true, 5: true, 20: false, 100: false} {
		d, ms, _ := team(t, 2)
		n := 0
		ms[1].fail = func() error {
			if n++; n%every == 0 {
				return broken()
			}
			return nil
		}
		for range 1000 {
			_, _ = callOf(d, "s")
		}
		if got := d.Ejections()["r1"] != nil; got != want {
			t.Errorf("every %dth call failed, ejected: %t", every, got)
		}
	}
}

// However many fail, at least half of them get calls.
func TestAtMostHalfAreEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n, out := range map[int]int{1: 0, 2: 1, 3: 1, 4: 2, 5: 2} {
			d, ms, removes := team(t, n)
			for i, m := range ms {
				m.fail = broken
				for range 200 { // each runner has a service of its own that it fails
					_, _ = d.Execute(context.Background(), &runnerv1.ExecuteRequest{Plan: "p", Service: fmt.Sprint("s", i)})
					_, _ = d.Execute(context.Background(), &runnerv1.ExecuteRequest{Plan: "p", Service: fmt.Sprint("t", i)})
				}
				m.fail = nil
				for range 3 {
					time.Sleep(61 * time.Second) // nothing is suspected any more
				}
			}
			for i, m := range ms {
				m.deaf.Store(true) // and answer no probe
				_ = i
			}
			for range 20 * n {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, dispatch.ErrUnanswered)
				_, _ = d.Execute(ctx, &runnerv1.ExecuteRequest{Plan: "p"})
				cancel()
			}
			ready, err := d.Ready()
			waived := 0
			for _, e := range d.Ejections() {
				if e.GetWaived() {
					waived++
				}
			}
			if ready != n-out || err != nil || len(d.Ejections())-waived != out {
				t.Errorf("%d runners: %d get calls (%v), want %d; %v", n, ready, err, n-out, d.Ejections())
			}
			for _, remove := range removes {
				remove()
			}
			d.Close()
		}
	})
}

// lost is a member whose lane breaks.
type lost struct{ member }

func (*lost) Lost() bool { return true }

// A runner whose lane breaks again and again is out when it is back, for a while;
// it is judged by its id.
func TestARunnerThatLosesItsLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, _ := team(t, 2)
		for range 5 { // seldom is no reason
			d.Add(&lost{member{id: "edge"}})()
			time.Sleep(40 * time.Second)
		}
		if got := d.Ejections(); len(got) != 0 {
			t.Errorf("%v", got)
		}
		time.Sleep(time.Minute)
		for range 3 {
			d.Add(&lost{member{id: "edge"}})()
		}
		if got := d.Ejections()["edge"]; got.GetCause() != dispatch.CauseLost {
			t.Errorf("%v", got)
		}
		back := &lost{member{id: "edge"}}
		remove := d.Add(back)
		defer remove()
		for range 10 {
			if who, err := call(d, "p"); err != nil || who == "edge" {
				t.Errorf("%s, %v", who, err)
			}
		}
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		for range 9 {
			if _, err := call(d, "p"); err != nil {
				t.Error(err)
			}
		}
		if n := back.calls.Load(); n != 3 || len(d.Ejections()) != 0 {
			t.Errorf("it got %d of 9 calls: %v", n, d.Ejections())
		}
		// One that drains is not lost.
		for range 10 {
			d.Add(&member{id: "other"})()
		}
		if got := d.Ejections(); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

// The new lane of a runner can be there before the core has noticed that the old
// one is broken.
func TestARunnerThatIsBackBeforeItsLaneHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, _ := team(t, 1)
		for range 2 {
			d.Add(&lost{member{id: "edge"}})()
		}
		old := d.Add(&lost{member{id: "edge"}})
		remove := d.Add(&lost{member{id: "edge"}})
		defer remove()
		old()
		if got := d.Ejections()["edge"]; got.GetCause() != dispatch.CauseLost {
			t.Errorf("%v", got)
		}
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		if got := d.Ejections(); len(got) != 0 {
			t.Errorf("nobody has probed it: %v", got)
		}
	})
}

// Both lanes can be there when the old one, which fails, has the runner ejected.
func TestARunnerWhoseOldLaneHasItEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, _ := team(t, 1)
		wrong := fault.New(fault.Integrity, "it is damaged")
		old := d.Add(&member{id: "edge", fail: func() error { return wrong }})
		remove := d.Add(&member{id: "edge"})
		defer remove()
		for range 100 {
			_, _ = call(d, "p")
		}
		if got := d.Ejections()["edge"]; got.GetCause() != dispatch.CauseFaults {
			t.Fatalf("%v", got)
		}
		old()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := d.Ejections(); len(got) != 0 {
			t.Errorf("nobody has probed it: %v", got)
		}
	})
}

// What is remembered of runners that come and go is bounded.
func TestHistoriesAreBounded(t *testing.T) {
	d, _, _ := team(t, 1)
	for i := range 20_000 {
		d.Add(&lost{member{id: fmt.Sprint("x", i/3)}})()
	}
	if n := len(d.Ejections()); n > 4096 {
		t.Errorf("%d are remembered", n)
	}
	if _, err := call(d, "p"); errors.Is(err, fault.NoRunner) {
		t.Error(err)
	}
}
