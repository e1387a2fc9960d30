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
