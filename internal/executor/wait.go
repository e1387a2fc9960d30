package executor

import (
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// DefaultMaxWait is how long a call waits for its turn if the request does not
// say.
const DefaultMaxWait = 5 * time.Second

// MaxWait returns how long a call can wait for its turn. The context's deadline
// can end the wait sooner.
func MaxWait(req *runnerv1.ExecuteRequest) time.Duration {
	if n := req.GetMaxWaitNanos(); n > 0 {
		return time.Duration(n)
	}
	return DefaultMaxWait
}

// Waited returns a copy of a request that has waited, with the rest of its
// time. It shares the input.
func Waited(req *runnerv1.ExecuteRequest, waited time.Duration) *runnerv1.ExecuteRequest {
	return &runnerv1.ExecuteRequest{
		Plan: req.GetPlan(), CallId: req.GetCallId(), Service: req.GetService(), Input: req.GetInput(), ContentType: req.GetContentType(), Head: req.GetHead(),
		Caller: req.GetCaller(), Logs: req.GetLogs(), MaxWaitNanos: int64(max(MaxWait(req)-waited, 1)),
	}
}

// QueueTimeout returns the error for a call whose turn did not come within the
// limit. what says what it waited for, for example "a slot on runner edge-1".
func QueueTimeout(service, what string, limit time.Duration) *fault.Error {
	limit = max(limit.Round(time.Millisecond), time.Millisecond)
	e := fault.New(fault.QueueTimeout, "the call of service %s waited %s for %s, the limit", service, limit, what).
		With("limit", limit).WithFix("call again later, start another runner, or raise server.queue_timeout")
	e.NotStarted = true
	return e
}

// metaEstimate is the fact that says how long a call would have waited.
const metaEstimate = "estimate"

// TooLate returns the error for a call that does not begin to wait, because its
// turn would come too late: after about wait, although it can wait only for can.
func TooLate(service, what string, wait, can time.Duration) *fault.Error {
	wait, can = max(wait.Round(time.Millisecond), time.Millisecond), max(can.Round(time.Millisecond), 0)
	about, left := wait.String(), can.String()
	e := fault.New(fault.QueueTimeout, "the call of service %s would wait about %s for %s, and has %s for that", service, about, what, left).
		With("limit", left, metaEstimate, about).WithFix("call again later with more time, start another runner, or raise server.queue_timeout").WithRetry(wait)
	e.NotStarted = true
	return e
}

// HasWaited reports whether a call that was refused with QUEUE_TIMEOUT has waited
// for its turn. If not, another runner may have time for it.
func HasWaited(e *fault.Error) bool { return e.Meta[metaEstimate] == "" }

// TurnTooLate returns the error for a call whose turn has come when its deadline
// left too little time to execute it.
func TurnTooLate(service, what string, waited time.Duration) *fault.Error {
	e := fault.New(fault.QueueTimeout, "the call of service %s waited %s for %s, and its deadline left too little time to execute it",
		service, max(waited.Round(time.Millisecond), time.Millisecond), what).
		WithFix("call again later with more time, or start another runner")
	e.NotStarted = true
	return e
}
