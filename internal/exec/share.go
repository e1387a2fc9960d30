package exec

// ServiceShare returns how many calls of one service can be in flight on runners
// that execute concurrency calls and let queue more wait, so that a burst for one
// service cannot fill the queues of the others. It is three quarters of both, but
// never less than concurrency. The core and each runner hold to it.
func ServiceShare(concurrency, queue int64) int64 {
	return max(concurrency, ((concurrency+queue)*3+3)/4)
}
