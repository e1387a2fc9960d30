package fleet

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff spaces retries: each wait is about twice the one before, with jitter,
// so that the processes of a fleet do not all come back at the same time. The
// zero Backoff begins at 100 ms and grows to 2 s. It is not safe for concurrent
// use.
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
	t := time.NewTimer(b.step())
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reset makes the next wait as short as the first.
func (b *Backoff) Reset() { b.next = 0 }

// step returns 50 to 100 % of the next wait.
func (b *Backoff) step() time.Duration {
	base, maxWait := b.Base, b.Max
	if base <= 0 {
		base = 100 * time.Millisecond
	}
	if maxWait <= 0 {
		maxWait = 2 * time.Second
	}
	if b.next == 0 {
		b.next = base
	}
	d := min(b.next, maxWait)
	b.next = min(2*d, maxWait)
	return d/2 + rand.N(d/2+1)
}
