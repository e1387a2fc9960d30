package password_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

const took = 30 * time.Millisecond

// resting returns a hasher each of whose hashes takes as long, of which it waits for
// processors.
func resting(waits time.Duration) *password.Hasher {
	h := password.New(password.Config{})
	h.Fake(took, waits)
	return h
}

// The more of the processors others need, the less of the time there is a hash; but
// people get in.
func TestHashesRestIfOthersNeedTheProcessors(t *testing.T) {
	for waits, want := range map[time.Duration]int{ // hashes in a minute
		0:                      2000, // one after the other
		time.Millisecond:       461,  // each rests for 100 ms
		took:                   113,
		100 * time.Millisecond: 113, // not less
	} {
		synctest.Test(t, func(t *testing.T) {
			h := resting(waits)
			for began := time.Now(); time.Since(began) < time.Minute; {
				if _, err := h.Matches(t.Context(), good, "", password.Stranger); err != nil {
					t.Fatal(err)
				}
			}
			if n := int(h.Count()); n < want || n > want+2 {
				t.Errorf("if a hash waits for %s, there are %d in a minute, want %d", waits, n, want)
			}
		})
	}
}

// A flood delays those who try less often little, and those who are known not at all:
// not by rests either.
func TestAFloodDelaysOthersLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := resting(took)
		ctx, stop := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		for range 17 { // one hashes, sixteen wait
			flood.Go(func() {
				for ctx.Err() == nil {
					if _, err := h.Matches(ctx, good, "", password.Insistent); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, fault.LoginLimit) {
						t.Error(err)
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		synctest.Wait()
		if _, err := h.Matches(ctx, good, "", password.Insistent); !errors.Is(err, fault.LoginLimit) || fault.FromError(err).RetryDelay() <= 0 {
			t.Errorf("one too many: %v", err)
		}
		for range 4 {
			for rank, most := range map[password.Rank]time.Duration{password.Known: 2 * took, password.Stranger: 1100 * time.Millisecond} {
				began := time.Now()
				if _, err := h.Matches(ctx, good, "", rank); err != nil || time.Since(began) > most {
					t.Errorf("rank %d after %s: %v", rank, time.Since(began), err)
				}
			}
		}
		stop()
		flood.Wait()
	})
}

// A login is let in or refused soon, even if there is a hash only every half a second.
func TestNobodyWaitsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := resting(took)
		var refused atomic.Int64
		var all sync.WaitGroup
		began := time.Now()
		for range 17 {
			all.Go(func() {
				if _, err := h.Matches(t.Context(), good, "", password.Stranger); err != nil {
					testkit.WantReason(t, err, fault.LoginLimit, "too many logins wait")
					refused.Add(1)
				}
			})
		}
		all.Wait()
		if n, waited := refused.Load(), time.Since(began); n != 7 || waited != 5*time.Second {
			t.Errorf("%d of 17 were refused, the last answer came after %s", n, waited)
		}
	})
}
