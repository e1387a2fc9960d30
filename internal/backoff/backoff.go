// Package backoff spaces retries, with jitter, so that the processes of a fleet
// do not all come back at the same time.
package backoff

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// Backoff makes each wait about twice the one before. The zero Backoff begins at
// 100 ms and grows to 2 s. It is not safe for concurrent use.
type Backoff struct {
	// Base is the first wait; zero means 100 ms.
	Base time.Duration
	// Max is the longest wait; zero means 2 s.
	Max time.Duration

	next time.Duration
}

// Wait waits until the next retry is due. It returns ctx's error if ctx ends
// first.
func (b *Backoff) Wait(ctx context.Context) error {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Next returns how long to wait for the next retry: 50 to 100 % of its interval.
func (b *Backoff) Next() time.Duration {
	longest := cmp.Or(b.Max, 2*time.Second)
	d := min(cmp.Or(b.next, b.Base, 100*time.Millisecond), longest)
	b.next = min(2*d, longest)
	return Jitter(d)
}

// Reset makes the next wait as short as the first.
func (b *Backoff) Reset() { b.next = 0 }

// Exhaust makes the next waits as long as the longest.
func (b *Backoff) Exhaust() { b.next = cmp.Or(b.Max, 2*time.Second) }

// Jitter returns a random duration of 50 to 100 % of d.
func Jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
