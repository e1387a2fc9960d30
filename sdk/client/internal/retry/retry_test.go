package retry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/sdk/client/internal/retry"
)

func TestRetriesAreATenthOfTheRequestsAndAFewMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := retry.NewBudget(100)
		retries := func(requests int) (n int) {
			for range requests {
				a := b.Begin()
				for a.Wait(t.Context(), 0) {
					n++
				}
			}
			return n
		}
		const spare = 10
		if n := retries(1000); n > 1000/10+spare || n < 1000/10 {
			t.Errorf("%d retries of 1000 requests", n)
		}
		if n := retries(1000); n != 1000/10 {
			t.Errorf("%d retries of the next 1000, want exactly a tenth", n)
		}
		// What was saved up is bounded.
		for range 100_000 {
			b.Begin()
		}
		if n := retries(1); n > 100 {
			t.Errorf("%d retries after many requests without one", n)
		}
	})
}

func TestWaitsAreWhatTheServerAsksForAndGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 { // at random
			for _, asked := range []time.Duration{0, time.Second} {
				b := retry.NewBudget(3)
				a := b.Begin()
				for n := range 3 {
					began := time.Now()
					least := max(asked, retry.MinDelay<<n)
					if !a.Wait(t.Context(), asked) {
						t.Fatal("no retry")
					}
					if took := time.Since(began); took < least || took > least*3/2 {
						t.Errorf("retry %d after %s, the server asked for %s", n, took, asked)
					}
				}
				if a.Wait(t.Context(), asked) {
					t.Error("a fourth retry of three")
				}
			}
		}
	})
}

func TestNobodyWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for what, tt := range map[string]struct {
			ctx   context.Context
			limit int
			delay time.Duration
		}{
			"no retries":                    {t.Context(), 0, 0},
			"ended":                         {ended, 5, 0},
			"a deadline before the retry":   {short, 5, time.Second},
			"longer than anybody would ask": {t.Context(), 5, retry.MaxDelay + 1},
		} {
			began := time.Now()
			a := retry.NewBudget(tt.limit).Begin()
			if a.Wait(tt.ctx, tt.delay) || time.Since(began) != 0 {
				t.Errorf("%s: it waited for %s", what, time.Since(began))
			}
		}
		// A caller that goes away ends the wait.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		a := retry.NewBudget(5).Begin()
		if a.Wait(ctx, 5*time.Second) || time.Since(began) != time.Second {
			t.Errorf("it waited for %s", time.Since(began))
		}
	})
}
