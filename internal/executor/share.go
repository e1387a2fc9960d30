package executor

// ServiceShare returns how many calls of one service can be in flight on
// runners that execute concurrency calls and queue up to queue more, so that a
// burst for one service cannot fill the queues of the others. It is three
// quarters of the sum, but never less than concurrency. The core and each
// runner enforce it.
func ServiceShare(concurrency, queue int64) int64 {
	return max(concurrency, ((concurrency+queue)*3+3)/4)
}
