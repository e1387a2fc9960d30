// Package budget bounds the memory that requests in flight share.
//
//	b := &budget.Budget{Limit: 96 << 20}
//	a := budget.Account{Budget: b, Shared: &ofConnection, Limit: 32 << 20}
//	ok := a.Take(done, n, time.Second, makeRoom)
//	a.Release(a.Held())
//
// A Budget is safe for concurrent use. An Account is not.
package budget

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// makeRoomEvery is how often somebody who waits for room asks for it.
const makeRoomEvery = time.Second

// Budget is an amount of memory that requests in flight share.
type Budget struct {
	// Limit in bytes. Set it before the first use.
	Limit int64

	used    atomic.Int64
	holders atomic.Int64 // accounts that hold some of it

	mu    sync.Mutex
	queue []chan struct{} // requests that wait for room, in FIFO order
}

// take charges n bytes to a request that holds others, and reports whether there
// was room. There is always room if nothing else is charged, so that no request
// is refused forever.
func (b *Budget) take(n, held int64) bool {
	for {
		now := b.used.Load()
		if now > held && now+n > b.Limit {
			return false
		}
		if b.used.CompareAndSwap(now, now+n) {
			return true
		}
	}
}

// release returns n bytes.
func (b *Budget) release(n int64) {
	b.used.Add(-n)
	b.wake()
}

// wake makes the request that has waited longest try again.
func (b *Budget) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) > 0 {
		select {
		case b.queue[0] <- struct{}{}:
		default: // it knows
		}
	}
}

// wait is take as soon as there is room. It gives up after patience, or
// when done is closed. Waiting requests are served in FIFO order, but a request
// that fits immediately need not wait for them. makeRoom is called from time to
// time.
func (b *Budget) wait(done <-chan struct{}, n, held int64, patience time.Duration, makeRoom func()) bool {
	turn := make(chan struct{}, 1)
	b.mu.Lock()
	b.queue = append(b.queue, turn)
	b.mu.Unlock()
	defer b.leave(turn)
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	again := time.NewTicker(makeRoomEvery)
	defer again.Stop()
	makeRoom()
	b.wake() // for what was released before this one was in the queue
	for {
		select {
		case <-turn:
			if b.take(n, held) {
				return true
			}
		case <-again.C:
			makeRoom()
		case <-timeout.C:
			return false
		case <-done:
			return false
		}
	}
}

// leave removes a request from the queue and lets the next one try.
func (b *Budget) leave(turn chan struct{}) {
	b.mu.Lock()
	b.queue = slices.DeleteFunc(b.queue, func(t chan struct{}) bool { return t == turn })
	b.mu.Unlock()
	b.wake()
}

// Tight reports whether more than three quarters are used, and not by one request
// alone that nobody waits for. Such a request may be larger than the limit, and
// hurrying it would help no other.
func (b *Budget) Tight() bool {
	if b.used.Load() <= b.Limit/4*3 {
		return false
	}
	if b.holders.Load() > 1 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) > 0
}

// Account is what one request holds of a budget, and of its connection's share.
type Account struct {
	Budget *Budget
	// Shared is what the requests of the connection hold, and Limit how much that
	// can be. Nil: the connection is not known.
	Shared *atomic.Int64
	Limit  int64

	held int64
}

// Held returns how many bytes are held.
func (a *Account) Held() int64 { return a.held }

// Take charges n bytes. If there is no room, it waits for some for as long as
// patience, or until done is closed, and calls makeRoom from time to time. It
// reports whether the bytes were charged.
func (a *Account) Take(done <-chan struct{}, n int64, patience time.Duration, makeRoom func()) bool {
	if !a.share(n) {
		return false
	}
	if a.Budget.take(n, a.held) || a.Budget.wait(done, n, a.held, patience, makeRoom) {
		if a.held == 0 {
			a.Budget.holders.Add(1)
		}
		a.held += n
		return true
	}
	a.unshare(n)
	return false
}

// share charges n bytes to the connection, unless the connection already holds
// others and would exceed its limit.
func (a *Account) share(n int64) bool {
	if a.Shared == nil {
		return true
	}
	if now := a.Shared.Add(n); now > a.Limit && now > a.held+n {
		a.Shared.Add(-n)
		return false
	}
	return true
}

func (a *Account) unshare(n int64) {
	if a.Shared != nil {
		a.Shared.Add(-n)
	}
}

// Release releases n of the bytes that are held.
func (a *Account) Release(n int64) {
	if n == 0 {
		return
	}
	if a.held -= n; a.held == 0 {
		a.Budget.holders.Add(-1)
	}
	a.unshare(n)
	a.Budget.release(n)
}
