// Package retry decides when a request that was refused is sent again.
//
//	budget := retry.NewBudget(2)      // one for each client
//	attempts := budget.Begin()        // one for each request
//	for err := send(); err != nil; {
//		if !safe(err) || !attempts.Wait(ctx, delay(err)) {
//			return err
//		}
//		err = send()
//	}
//
// Retries are what turns a short overload into a long one: a server that refuses
// half of its requests gets half as many again. So a client has a budget: a tenth
// of its requests, and a few more, can be retries. In the worst case, servers get
// 1.1 times the requests.
package retry

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// share is how many requests pay for one retry.
	share = 10
	// spare is how many retries a new client can make that nothing has paid for.
	spare = 10
	// saved bounds the retries that a client can save up: a burst of refusals
	// after a long time without any does not become a burst of retries.
	saved = 100

	// MinDelay is the shortest wait before the first retry. It doubles with each
	// retry of a request.
	MinDelay = 50 * time.Millisecond
	// MaxDelay is the longest wait. If a server asks for more, the request is not
	// sent again: its caller decides whether to wait.
	MaxDelay = 10 * time.Second
)

// Budget bounds the retries of a client. Its methods can be called from many
// goroutines.
type Budget struct {
	limit int
	paid  atomic.Int64 // requests that no retry was made for
}

// NewBudget returns a budget for requests that are each sent again up to limit
// times.
func NewBudget(limit int) *Budget {
	b := &Budget{limit: limit}
	b.paid.Store(spare * share)
	return b
}

// Begin counts a request.
func (b *Budget) Begin() Attempts {
	if b.paid.Load() < saved*share { // a few more do not matter
		b.paid.Add(1)
	}
	return Attempts{budget: b}
}

// take takes one retry, if there is one.
func (b *Budget) take() bool {
	for {
		paid := b.paid.Load()
		if paid < share {
			return false
		}
		if b.paid.CompareAndSwap(paid, paid-share) {
			return true
		}
	}
}

// Attempts are those of one request. The zero Attempts has no retries. They are for
// one goroutine.
type Attempts struct {
	budget *Budget
	made   int
}

// Wait waits until the request is due again, and reports whether to send it: delay
// is what the server asked for. The wait is that or the usual back-off, whichever is
// longer, and up to half as long again at random, so that clients that were refused
// together do not come back together.
//
// It returns false immediately if the request was sent often enough, if the budget
// is used up, if the wait would be longer than MaxDelay, or if it would not end
// before the deadline of ctx. It returns false if ctx ends while it waits.
func (a *Attempts) Wait(ctx context.Context, delay time.Duration) bool {
	if a.budget == nil || a.made >= a.budget.limit {
		return false
	}
	delay = max(delay, MinDelay<<min(a.made, 10))
	if delay > MaxDelay {
		return false
	}
	delay += rand.N(delay / 2)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= delay {
		return false
	}
	if ctx.Err() != nil || !a.budget.take() {
		return false
	}
	a.made++
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
