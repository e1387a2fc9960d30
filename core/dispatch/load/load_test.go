package load_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/dispatch/load"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// took is the answer to a call that occupied its runner for d.
func took(d time.Duration) *runnerv1.ExecuteResponse {
	return &runnerv1.ExecuteResponse{Info: &ruedov1.CallInfo{Duration: durationpb.New(d)}}
}

// failed is the error of a call that occupied its runner for d.
func failed(d time.Duration) error {
	e := fault.New(fault.GuestError, "no")
	e.Details = append(e.Details, took(d).Info)
	return e
}

func TestWhichCallIsRefused(t *testing.T) {
	for what, tt := range map[string]struct {
		n        int64
		capacity load.Capacity
		took     time.Duration
		maxWait  time.Duration
		deadline time.Duration // 0 means none
		reason   fault.Reason  // "" means that it is not refused
		retry    time.Duration
	}{
		"it executes":                            {n: 4, capacity: load.Capacity{Limit: 40, Slots: 4}, took: time.Hour},
		"the first in the line":                  {n: 5, capacity: load.Capacity{Limit: 40, Slots: 4}, took: time.Hour},
		"nothing is known of the service":        {n: 40, capacity: load.Capacity{Limit: 40, Slots: 4}, maxWait: time.Millisecond},
		"nothing is known of the runners":        {n: 1000, took: time.Hour},
		"with time to wait":                      {n: 8, capacity: load.Capacity{Limit: 40, Slots: 4}, took: time.Second, maxWait: 1250 * time.Millisecond},
		"without":                                {n: 8, capacity: load.Capacity{Limit: 40, Slots: 4}, took: time.Second, maxWait: 1249 * time.Millisecond, reason: fault.QueueTimeout, retry: time.Second},
		"with time to wait and execute":          {n: 8, capacity: load.Capacity{Limit: 40, Slots: 4}, took: time.Second, deadline: 2250 * time.Millisecond},
		"with time to wait, but not for more":    {n: 8, capacity: load.Capacity{Limit: 40, Slots: 4}, took: time.Second, deadline: 2249 * time.Millisecond, reason: fault.QueueTimeout, retry: time.Second},
		"beyond the limit":                       {n: 41, capacity: load.Capacity{Limit: 40, Slots: 4}, took: time.Second, reason: fault.QueueFull, retry: 9250 * time.Millisecond},
		"beyond the limit, with no queue at all": {n: 5, capacity: load.Capacity{Limit: 4, Slots: 4}, took: time.Second, reason: fault.QueueFull, retry: 250 * time.Millisecond},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l load.Load
				l.Learn(took(tt.took), nil)
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				err := l.Refuse(ctx, &runnerv1.ExecuteRequest{Service: "s", MaxWaitNanos: int64(tt.maxWait)}, tt.n, tt.capacity)
				if tt.reason == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if e := fault.FromError(err); e.Reason != tt.reason || !e.NotStarted || e.RetryDelay() != tt.retry {
					t.Errorf("%v, again after %s, want %s after %s", err, e.RetryDelay(), tt.reason, tt.retry)
				}
			})
		})
	}
}

// wait returns what the tenth call in flight on one slot is asked to wait.
func wait(l *load.Load) time.Duration {
	return fault.FromError(l.Refuse(context.Background(), &runnerv1.ExecuteRequest{}, 10, load.Capacity{Limit: 9, Slots: 1})).RetryAfter
}

// A service that was slow and now fails quickly is not refused for what it was.
func TestCallsThatFailAreLearntFrom(t *testing.T) {
	var l load.Load
	l.Learn(took(time.Minute), nil)
	if got := wait(&l); got != 9*time.Minute {
		t.Fatalf("a call would wait %s", got)
	}
	for range 100 {
		l.Learn(nil, failed(time.Millisecond))
	}
	if got := wait(&l); got > 20*time.Millisecond {
		t.Errorf("after quick failures, a call would wait %s", got)
	}
}

// What a runner says about its calls is not trusted.
func TestTimesThatCannotBe(t *testing.T) {
	for what, d := range map[string]*durationpb.Duration{
		"centuries": {Seconds: math.MaxInt64, Nanos: math.MaxInt32},
		"negative":  {Seconds: math.MinInt64, Nanos: -1},
		"none":      nil,
	} {
		var l load.Load
		l.Learn(&runnerv1.ExecuteResponse{Info: &ruedov1.CallInfo{Duration: d}}, nil)
		if got := wait(&l); got < 0 || got > 9*time.Hour {
			t.Errorf("%s: a call would wait %s", what, got)
		}
		l.Learn(&runnerv1.ExecuteResponse{}, nil)
		l.Learn(nil, fault.New(fault.RunnerLost, "lost"))
	}
}

// A call that need not wait costs no allocation.
func TestACallThatNeedNotWaitIsCheap(t *testing.T) {
	var l load.Load
	ctx, req, res := t.Context(), &runnerv1.ExecuteRequest{Service: "s"}, took(time.Millisecond)
	if n := testing.AllocsPerRun(100, func() {
		if l.Refuse(ctx, req, l.Enter(), load.Capacity{Limit: 40, Slots: 4}) == nil {
			l.Learn(res, nil)
		}
		l.Leave()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkLoad is what a call that need not wait costs here.
func BenchmarkLoad(b *testing.B) {
	var l load.Load
	ctx, req, res := b.Context(), &runnerv1.ExecuteRequest{Service: "s"}, took(time.Millisecond)
	for b.Loop() {
		if l.Refuse(ctx, req, l.Enter(), load.Capacity{Limit: 40, Slots: 4}) != nil {
			b.Fatal("refused")
		}
		l.Learn(res, nil)
		l.Leave()
	}
}
