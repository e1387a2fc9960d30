package lane

import (
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// What a runner computes about a retry arrives at the core, within bounds. A runner
// that computes nothing leaves it to the reason.
func TestARetryCrossesALane(t *testing.T) {
	sent := errorFailure(fault.New(fault.QueueFull, "full").WithRetry(70 * time.Millisecond))
	if got := failureError(sent, "r"); got.RetryDelay() != 70*time.Millisecond {
		t.Errorf("got %s", got.RetryDelay())
	}
	for nanos, want := range map[int64]time.Duration{0: time.Second, -5: time.Second, int64(time.Hour): fault.MaxRetryDelay} {
		if got := failureError(&runnerv1.Failure{Reason: "QUEUE_FULL", RetryNanos: nanos}, "r"); got.RetryDelay() != want {
			t.Errorf("%d ns: got %s, want %s", nanos, got.RetryDelay(), want)
		}
	}
}
