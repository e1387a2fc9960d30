package port

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// reserveFiles descriptors, and an eighth of all, are reserved for the
	// store and for other files that the process opens.
	reserveFiles = 64
	// smallBody is what a request can hold without being charged; the limit on
	// requests bounds the total.
	smallBody = 4 << 10
	// bodyRoom is how long a body waits for room in the budget. What it holds
	// meanwhile is charged.
	bodyRoom = 5 * time.Second
	// answerRoom is the same for an answer, which is in memory already.
	answerRoom = 250 * time.Millisecond
)

// connectionLimit returns how many connections a server accepts.
func connectionLimit(limit int) int {
	if limit <= 0 {
		limit = DefaultConnections
	}
	if files := openFiles(); files > 0 {
		left := int64(files) - int64(files)/8 - reserveFiles
		limit = int(min(int64(limit), max(left, 1)))
	}
	return limit
}

// budget is an amount of memory that requests in flight share.
type budget struct {
	limit   int64
	used    atomic.Int64
	holders atomic.Int64 // accounts that hold some of it

	mu    sync.Mutex
	queue []chan struct{} // requests that wait for room, in FIFO order
}

// take charges n bytes to a request that holds others, and reports whether there
// was room. There is always room if nothing else is charged, so that no request
// is refused forever.
func (b *budget) take(n, held int64) bool {
	for {
		now := b.used.Load()
		if now > held && now+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(now, now+n) {
			return true
		}
	}
}

// release returns n bytes.
func (b *budget) release(n int64) {
	b.used.Add(-n)
	b.wake()
}

// wake makes the request that has waited longest try again.
func (b *budget) wake() {
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
func (b *budget) wait(done <-chan struct{}, n, held int64, patience time.Duration, makeRoom func()) bool {
	turn := make(chan struct{}, 1)
	b.mu.Lock()
	b.queue = append(b.queue, turn)
	b.mu.Unlock()
	defer b.leave(turn)
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	again := time.NewTicker(tick)
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
func (b *budget) leave(turn chan struct{}) {
	b.mu.Lock()
	b.queue = slices.DeleteFunc(b.queue, func(t chan struct{}) bool { return t == turn })
	b.mu.Unlock()
	b.wake()
}

// tight reports whether more than three quarters are used, and not by one request
// alone that nobody waits for. Such a request may be larger than the limit, and
// hurrying it would help no other.
func (b *budget) tight() bool {
	if b.used.Load() <= b.limit/4*3 {
		return false
	}
	if b.holders.Load() > 1 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) > 0
}

// account is what one request holds of a budget, and of its connection's share.
type account struct {
	budget *budget
	shared *atomic.Int64 // of the connection; nil if it is not known
	held   int64
}

// share charges n bytes to the connection, unless the connection already holds
// others and would exceed limit.
func (a *account) share(n, limit int64) bool {
	if a.shared == nil {
		return true
	}
	if now := a.shared.Add(n); now > limit && now > a.held+n {
		a.shared.Add(-n)
		return false
	}
	return true
}

func (a *account) unshare(n int64) {
	if a.shared != nil {
		a.shared.Add(-n)
	}
}

// hold records n bytes that were charged to the budget.
func (a *account) hold(n int64) {
	if a.held == 0 {
		a.budget.holders.Add(1)
	}
	a.held += n
}

// release releases n of the bytes that are held.
func (a *account) release(n int64) {
	if n == 0 {
		return
	}
	if a.held -= n; a.held == 0 {
		a.budget.holders.Add(-1)
	}
	a.unshare(n)
	a.budget.release(n)
}
