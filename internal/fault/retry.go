package fault

import "time"

// MaxRetryDelay bounds what an error says about a retry. Nobody should wait longer
// than that for a state that may have changed long before.
const MaxRetryDelay = 30 * time.Second

// retryDelay is how long to wait after a refusal that says nothing better.
const retryDelay = time.Second

// retryDelays are the reasons with another delay, and the reasons that are worth a
// retry although their code is not unavailable.
var retryDelays = map[Reason]time.Duration{
	// Limits of what happens at the same time.
	QueueFull:        retryDelay,
	ConcurrencyLimit: retryDelay,
	ServerBusy:       retryDelay,
	UploadBusy:       retryDelay,
	LaneLimit:        retryDelay,
	StreamsFull:      retryDelay,
	LoginLimit:       retryDelay,

	// A runner redials for up to 2 s, and a leader is elected in 5 to 10 s.
	NoRunner: 2 * time.Second,
	NoLeader: 2 * time.Second,

	// An operator, or a machine that has to start.
	StoreNoQuorum:  5 * time.Second,
	StoreRestoring: 5 * time.Second,
	RunnerDisk:     5 * time.Second,
	CompileTimeout: 5 * time.Second,
}

// RetryDelay returns how long to wait before the same request is sent again, if
// nothing better is known than the reason. Zero means that it would fail again.
// Every reason whose code is unavailable is worth a retry.
func (r Reason) RetryDelay() time.Duration {
	if d, ok := retryDelays[r]; ok {
		return d
	}
	if r.Code() == CodeUnavailable {
		return retryDelay
	}
	return 0
}

// RetryDelay returns how long to wait before the same request is sent again: what
// was computed, or what the reason says. Zero means that the request would fail
// again, or that it was executed. A delay does not say that a retry is safe; see
// NotStarted.
func (e *Error) RetryDelay() time.Duration {
	if e.Meta[MetaStarted] == "yes" {
		return 0
	}
	d := e.Reason.RetryDelay()
	if d > 0 && e.RetryAfter > 0 {
		d = e.RetryAfter
	}
	return min(d, MaxRetryDelay)
}
