package dispatch_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// While as many calls as can wait for the first runner, others are told when that
// wait is over.
func TestWhoCannotWaitForTheFirstRunnerLearnsWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const startWait, waiting = 2 * time.Second, 1024
		d := dispatch.New(dispatch.Config{StartWait: startWait})
		defer d.Close()
		var wg sync.WaitGroup
		for range waiting {
			wg.Go(func() {
				_, err := d.Execute(context.Background(), &runnerv1.ExecuteRequest{Plan: "p"})
				if e := fault.FromError(err); e.Reason != fault.NoRunner || e.RetryAfter != 0 {
					t.Errorf("a call that waited: %s, %s", e.Reason, e.RetryAfter)
				}
			})
		}
		synctest.Wait()
		time.Sleep(startWait / 4)
		_, err := call(d, "p")
		if e := fault.FromError(err); e.Reason != fault.NoRunner || !e.NotStarted || e.RetryDelay() != startWait*3/4 {
			t.Errorf("one call more: %s after %s", e.Reason, e.RetryDelay())
		}
		wg.Wait()
	})
}

// Calls that cannot start in time are refused before a runner hears of them, and
// those beyond the limit learn when there is room.
func TestACallThatCannotStartInTimeCostsNoRunnerAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, took = 2, time.Second
		d := dispatch.New(dispatch.Config{StartWait: -1})
		defer d.Close()
		release := make(chan struct{})
		hold := false
		m := &member{id: "r0", concurrency: slots, queue: 14, took: took}
		m.fail = func() error {
			if hold {
				<-release
			}
			return nil
		}
		defer d.Add(m)()
		if _, err := call(d, "p"); err != nil {
			t.Fatal(err)
		}
		hold = true
		var wg sync.WaitGroup
		inFlight := func(n int) {
			for range n {
				wg.Go(func() {
					_, _ = d.Execute(context.Background(), &runnerv1.ExecuteRequest{Plan: "p", MaxWaitNanos: int64(time.Hour)})
				})
			}
			synctest.Wait()
		}
		inFlight(slots + 8) // with the one that ends next, 9 calls of 1 s over 2 slots: 4.5 s
		before := m.calls.Load()
		began := time.Now()
		short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		for what, tt := range map[string]struct {
			ctx     context.Context
			maxWait time.Duration
		}{
			"it may not wait for so long":      {t.Context(), 3 * time.Second},
			"its deadline leaves no such time": {short, time.Hour},
		} {
			_, err := d.Execute(tt.ctx, &runnerv1.ExecuteRequest{Plan: "p", MaxWaitNanos: int64(tt.maxWait)})
			e := fault.FromError(err)
			if e.Reason != fault.QueueTimeout || !e.NotStarted || e.RetryDelay() != 4500*time.Millisecond || time.Since(began) != 0 {
				t.Errorf("%s: %v, again after %s", what, err, e.RetryDelay())
			}
		}
		if n := m.calls.Load() - before; n != 0 {
			t.Errorf("the runner got %d calls", n)
		}
		inFlight(2) // its share is 12
		_, err := call(d, "p")
		if e := fault.FromError(err); e.Reason != fault.QueueFull || e.RetryDelay() != 5500*time.Millisecond {
			t.Errorf("one call too many: %v, again after %s", err, e.RetryDelay())
		}
		close(release)
		wg.Wait()
		if _, err := call(d, "p"); err != nil {
			t.Errorf("after that: %v", err)
		}
	})
}
