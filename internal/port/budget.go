package port

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// reserveFiles descriptors, and an eighth of all, are left to the store and
	// to what else the process opens.
	reserveFiles = 64
	// smallBody is what a request may hold without being charged: the number of
	// requests bounds these.
	smallBody = 4 << 10
	// bodyRoom is how long a body waits for room in the budget: what it holds
	// meanwhile is charged.
	bodyRoom = 5 * time.Second
	// answerRoom is the same for an answer, which is in memory already.
	answerRoom = 250 * time.Millisecond
)

// connectionLimit returns how many connections a server takes.
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
	limit int64
	used  atomic.Int64

	mu   sync.Mutex
	room chan struct{} // closed when something was released; nil if nobody waits
}

// take charges n bytes and reports whether there was room. There always is for a
// request that is alone, so that nothing is refused for ever.
func (b *budget) take(n int64) bool {
	if now := b.used.Add(n); now <= b.limit || now == n {
		return true
	}
	b.release(n)
	return false
}

// release returns n bytes.
func (b *budget) release(n int64) {
	b.used.Add(-n)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
}

// released returns a channel that is closed after the next release.
func (b *budget) released() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.room == nil {
		b.room = make(chan struct{})
	}
	return b.room
}

// wait charges n bytes as soon as there is room. It gives up after patience, or
// when done is closed. makeRoom is called each time that there is none.
func (b *budget) wait(done <-chan struct{}, n int64, patience time.Duration, makeRoom func()) bool {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		released := b.released()
		if b.take(n) {
			return true
		}
		makeRoom()
		select {
		case <-released:
		case <-timeout.C:
			return false
		case <-done:
			return false
		}
	}
}

// tight reports whether three quarters are used.
func (b *budget) tight() bool { return b.used.Load() > b.limit/4*3 }

// account is what one request holds of a budget, and of its connection's share.
type account struct {
	budget *budget
	shared *atomic.Int64 // of the connection; nil if it is not known
	held   int64
}

// share charges n bytes to the connection, unless that holds other bytes and
// would then hold more than limit.
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

// release returns n bytes that are held.
func (a *account) release(n int64) {
	if n == 0 {
		return
	}
	a.held -= n
	a.unshare(n)
	a.budget.release(n)
}
