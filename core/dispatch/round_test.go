package dispatch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

func plan(id string) *runnerv1.PrepareRequest {
	return &runnerv1.PrepareRequest{Id: id, Plan: &runnerv1.Plan{Service: "greet"}}
}

func TestARunnerThatIgnoresPrepareDelaysAPublishForSecondsAndOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ms, _ := team(t, 3)
		ms[0].prepare = func(context.Context, string) error { time.Sleep(15 * time.Second); return nil } // it compiles
		ms[1].prepare = func(context.Context, string) error { time.Sleep(18 * time.Second); return nil }
		ms[2].prepare = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		began := time.Now()
		got, err := d.Prepare(ctx, plan("p"))
		cancel() // as a publish does when it returns
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("it took %s, want 15 s of the first and 5 s for the others", took)
		}
		for i, late := range []bool{false, false, true} {
			if p := got[i]; p.GetRunner() != ms[i].id || p.GetLate() != late || (p.GetError() != "") != late {
				t.Errorf("preparation %d: %v", i, p)
			}
		}
		for range 10 {
			if who, err := call(d, "p"); err != nil || who == ms[2].id {
				t.Fatalf("%s, %v: one that has not prepared the plan got a call", who, err)
			}
		}
		began = time.Now()
		ms[0].prepare, ms[1].prepare = nil, nil
		if _, err := d.Prepare(t.Context(), plan("q")); err != nil || time.Since(began) != 0 {
			t.Errorf("the next publish waited %s for one that owes an answer: %v", time.Since(began), err)
		}
	})
}

func TestALateRunnerGetsCallsWhenItHasPrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ms, _ := team(t, 2)
		ms[1].prepare = func(ctx context.Context, _ string) error {
			select {
			case <-time.After(30 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := d.Prepare(ctx, plan("p")); err != nil {
			t.Fatal(err)
		}
		cancel()
		d.SetPlans([]*runnerv1.PrepareRequest{plan("p")})
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := ms[1].prepares.Load(); n != 1 {
			t.Errorf("it was asked %d times", n)
		}
		for range 10 {
			if _, err := call(d, "p"); err != nil {
				t.Fatal(err)
			}
		}
		if got := counts(ms); got[0] != 5 || got[1] != 5 {
			t.Errorf("calls: %v", got)
		}
	})
}

func TestABadPlanIsRefusedThoughARunnerIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ms, _ := team(t, 2)
		ms[0].prepare = func(context.Context, string) error { return fault.New(fault.ImportNotAllowed, "imports env.open") }
		ms[1].prepare = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
		began := time.Now()
		if _, err := d.Prepare(t.Context(), plan("p")); !errors.Is(err, fault.ImportNotAllowed) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != dispatch.DefaultSettle {
			t.Errorf("it took %s", took)
		}
	})
}

func TestPreparationsThatNobodyWaitsForAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ms, _ := team(t, 2)
		ms[1].prepare = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
		for i := range 100 {
			got, err := d.Prepare(t.Context(), plan(strings.Repeat("p", i+1)))
			if err != nil || !got[1].GetLate() {
				t.Fatalf("publish %d: %v, %v", i, got, err)
			}
		}
		if n := ms[1].prepares.Load(); n > 16 {
			t.Errorf("%d preparations are in flight on a runner that answers none", n)
		}
	})
}

func TestARunnerThatExecutesNothingIsTakenOutUntilItAnswersAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ms, _ := team(t, 2)
		ms[1].deaf.Store(true)
		own := func() (string, error) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, dispatch.ErrUnanswered)
			defer cancel()
			res, err := d.Execute(ctx, &runnerv1.ExecuteRequest{Plan: "p"})
			return res.GetInfo().GetRunner(), err
		}
		lost := 0
		for range 20 {
			if _, err := own(); errors.Is(err, fault.Deadline) {
				lost++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if lost != 3 {
			t.Errorf("%d calls were lost, want 3", lost)
		}
		time.Sleep(10 * time.Minute) // probes go unanswered
		if n := ms[1].unheard.Load(); n < 4 || n > 3+20 {
			t.Errorf("it was sent %d calls and probes", n)
		}
		ms[1].deaf.Store(false)
		time.Sleep(2 * time.Minute)
		counts(ms)
		for range 10 {
			if _, err := own(); err != nil {
				t.Error(err)
			}
		}
		if got := counts(ms); got[0] != 5 || got[1] != 5 {
			t.Errorf("after it answered a probe: %v", got)
		}
	})
}

func ready(d *dispatch.Dispatcher) bool {
	n, err := d.Ready()
	return n > 0 && err == nil
}

func TestTheLastRunnerIsNeverTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ms, _ := team(t, 1)
		ms[0].deaf.Store(true)
		for range 10 {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, dispatch.ErrUnanswered)
			if _, err := d.Execute(ctx, &runnerv1.ExecuteRequest{Plan: "p"}); !errors.Is(err, fault.Deadline) {
				t.Errorf("got %v", err)
			}
			cancel()
		}
		if ms[0].unheard.Load() < 10 || !ready(d) {
			t.Errorf("it got %d calls, ready: %t", ms[0].unheard.Load(), ready(d))
		}
	})
}

func TestACallersOwnDeadlineBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ms, _ := team(t, 2)
		ms[1].deaf.Store(true)
		for range 40 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, _ = d.Execute(ctx, &runnerv1.ExecuteRequest{Plan: "p"})
			cancel()
		}
		if n := ms[1].unheard.Load(); n != 20 {
			t.Errorf("%d calls, want every other one", n)
		}
	})
}

func TestCallsInTheFirstSecondsWaitForARunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dispatch.New(dispatch.Config{})
		defer d.Close()
		if ready(d) {
			t.Error("it is ready with no runner")
		}
		answered := make(chan error, 1)
		go func() { _, err := call(d, "p"); answered <- err }()
		time.Sleep(time.Second)
		defer d.Add(&member{id: "r0"})()
		if err := <-answered; err != nil {
			t.Errorf("the call that waited: %v", err)
		}
		if !ready(d) {
			t.Error("it is not ready with a runner")
		}
	})
}

func TestCallsWaitForTheFirstRunnerOnlyAtTheStartAndNotLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dispatch.New(dispatch.Config{})
		defer d.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Execute(ctx, &runnerv1.ExecuteRequest{Plan: "p"}); !errors.Is(err, fault.Deadline) || !fault.FromError(err).NotStarted {
			t.Errorf("a caller with less patience: %v", err)
		}
		began := time.Now()
		for _, want := range []time.Duration{time.Second, 0} {
			if _, err := call(d, "p"); !errors.Is(err, fault.NoRunner) || time.Since(began) != want {
				t.Errorf("after %s: %v, want NO_RUNNER after %s", time.Since(began), err, want)
			}
			began = time.Now()
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := dispatch.New(dispatch.Config{})
		defer d.Close()
		d.Add(&member{id: "r0"})()
		began := time.Now()
		if _, err := call(d, "p"); !errors.Is(err, fault.NoRunner) || time.Since(began) != 0 {
			t.Errorf("the only runner left: %v after %s", err, time.Since(began))
		}
	})
}

func TestACallWaitsForTheFirstRunnerNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dispatch.New(dispatch.Config{})
		defer d.Close()
		began := time.Now()
		_, err := d.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: "p", MaxWaitNanos: int64(500 * time.Millisecond)})
		if e := fault.FromError(err); e.Reason != fault.QueueTimeout || !e.NotStarted || e.Meta["limit"] != "500ms" || time.Since(began) != 500*time.Millisecond {
			t.Errorf("after %s: %+v", time.Since(began), e)
		}
		// What it has waited for the first runner is not left for that runner's
		// queue.
		m := &member{id: "r0"}
		got := make(chan time.Duration, 1)
		m.seen = func(req *runnerv1.ExecuteRequest) { got <- time.Duration(req.MaxWaitNanos) }
		time.AfterFunc(200*time.Millisecond, func() { d.Add(m) })
		if _, err := d.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: "p", MaxWaitNanos: int64(500 * time.Millisecond)}); err != nil {
			t.Error(err)
		}
		if left := <-got; left != 300*time.Millisecond {
			t.Errorf("%s are left, want 300ms", left)
		}
	})
}

// A publish can say whom it waits for.
func TestPreparingNamesWhoIsAskedAndHasNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, ms, _ := team(t, 2)
		ms[1].prepare = func(context.Context, string) error { time.Sleep(3 * time.Second); return nil }
		if got := d.Preparing(); len(got) != 0 {
			t.Errorf("nobody is asked: %v", got)
		}
		done := make(chan error)
		go func() {
			_, err := d.Prepare(t.Context(), plan("p"))
			done <- err
		}()
		synctest.Wait()
		if got := d.Preparing(); len(got) != 1 || len(got[ms[1].id]) != 1 || got[ms[1].id][0] != "greet" {
			t.Errorf("%v, want greet on %s", got, ms[1].id)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := d.Preparing(); len(got) != 0 {
			t.Errorf("all have answered: %v", got)
		}
	})
}
