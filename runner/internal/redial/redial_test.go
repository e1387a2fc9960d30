package redial

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// pause returns how long r waits after a failed attempt.
func pause(t *testing.T, r *Pauses, reason fault.Reason) time.Duration {
	began := time.Now()
	r.Failed(t.Context(), fault.New(reason, "no"))
	return time.Since(began)
}

func TestALostCoreIsDialledOftenForTenSecondsAndThenLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		began := time.Now()
		for time.Since(began) < quickFor {
			if d := pause(t, r, fault.CoreUnreachable); d < 100*time.Millisecond || d > 250*time.Millisecond {
				t.Fatalf("after %s it waited %s", time.Since(began), d)
			}
		}
		for range 10 {
			pause(t, r, fault.CoreUnreachable)
		}
		if d := pause(t, r, fault.CoreUnreachable); d < Max/2 || d > Max {
			t.Errorf("a core that stays away is dialled after %s", d)
		}
		go func() { time.Sleep(time.Second); r.Now() }()
		if d := pause(t, r, fault.CoreUnreachable); d != time.Second {
			t.Errorf("a core that was listed again after 1s is dialled after %s", d)
		}
		r.Ended(t.Context(), fault.New(fault.RunnerLost, "lost"), time.Minute)
		if d := pause(t, r, fault.CoreUnreachable); d > 250*time.Millisecond {
			t.Errorf("a core that was lost again is dialled after %s", d)
		}
	})
}

func TestACoreThatRefusesARunnerIsNotPressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		for range 10 {
			pause(t, r, fault.ClusterMismatch)
		}
		if d := pause(t, r, fault.ClusterMismatch); d < Max/2 {
			t.Errorf("waited %s", d)
		}
		if d := pause(t, New(), fault.AlreadyExists); d < Max/2 {
			t.Errorf("a runner whose id is taken waited %s", d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		r.Failed(ctx, fault.New(fault.ClusterMismatch, "no"))
		if time.Since(began) != 0 {
			t.Error("the end of the runner waits for the redial")
		}
	})
}

func TestACoreThatLetsNobodyInIsAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		for _, reason := range []fault.Reason{fault.Unauthenticated, fault.PermissionDenied, fault.PinMismatch, fault.PlaintextRefused} {
			if d := pause(t, r, reason); d < denied/2 || d > denied {
				t.Errorf("after %s it waited %s", reason, d)
			}
		}
	})
}
