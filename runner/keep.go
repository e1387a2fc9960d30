package runner

import (
	"context"
	"maps"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/runner/logs"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// Facts of the sandbox's errors.
const (
	factTrace = "trace"
	factLogs  = "logs" // the end of them, if a module cannot be started
)

// traceOf returns where a guest was when its call failed, or "".
func traceOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.FromError(err).Meta[factTrace]
}

// keep keeps what a guest said in a call that failed, or in which it said
// something.
func (r *Runner) keep(plan *runnerv1.Plan, callID string, res sandbox.Result, failed *fault.Error) {
	e := &ruedov1.LogEntry{Service: plan.GetService(), Revision: plan.GetRevision(), CallId: callID, Dropped: uint64(max(res.LogsDropped, 0))}
	if failed != nil {
		e.Reason, e.Message, e.Trace = string(failed.Reason), failed.Error(), failed.Meta[factTrace]
	}
	r.logs.Keep(e, res.Logs)
}

// unstarted returns the error of a plan whose module cannot be started. What
// the guest said is kept, and is a detail of the error as for a call that
// failed.
func (r *Runner) unstarted(plan *runnerv1.Plan, err error) error {
	e := *fault.FromError(err)
	said, trace := e.Meta[factLogs], e.Meta[factTrace]
	if said == "" && trace == "" {
		return err
	}
	e.Meta = maps.Clone(e.Meta)
	delete(e.Meta, factLogs)
	e.Details = []any{&ruedov1.CallInfo{Runner: r.info.Id, Revision: plan.GetRevision(), Logs: []byte(said), Trace: trace}}
	r.logs.Keep(&ruedov1.LogEntry{
		Service: plan.GetService(), Revision: plan.GetRevision(), Reason: string(e.Reason), Message: e.Error(), Trace: trace,
	}, []byte(said))
	return &e
}

// ReadLogs returns what guests logged; see executor.LogReader.
func (b bound) ReadLogs(ctx context.Context, req *runnerv1.ReadLogsRequest) (*runnerv1.ReadLogsResponse, error) {
	if req.GetService() == "" && req.GetCallId() == "" {
		return nil, fault.New(fault.RequestInvalid, "logs are read of a service or of a call: neither is named")
	}
	page, err := b.logs.Read(ctx, logs.Query{
		Service: req.GetService(), Call: req.GetCallId(), After: req.GetAfterNanos(), Wait: time.Duration(req.GetWaitNanos()),
	})
	if err != nil {
		return nil, err
	}
	return &runnerv1.ReadLogsResponse{Entries: page.Entries, More: page.More, Gap: page.Gap}, nil
}
