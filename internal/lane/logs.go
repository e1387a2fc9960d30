package lane

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/names"
)

// Bounds of a page of logs.
const (
	maxEntries = 256
	maxLogText = MaxInline // of one entry
	maxLogPage = 2*MaxInline + 16<<10
	maxLogLine = 2 << 10 // message of a failure
)

var _ executor.LogReader = (*Lane)(nil)

// ReadLogs asks the runner for what guests logged. A runner that is older than
// this frame fails with UNIMPLEMENTED. The texts that it sends are cut to what
// can be shown.
func (l *Lane) ReadLogs(ctx context.Context, req *runnerv1.ReadLogsRequest) (*runnerv1.ReadLogsResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, faultrpc.FromError(err)
	}
	if !l.logs {
		return nil, fault.New(fault.Unimplemented, "runner %s is of an older version, which keeps no logs", l.info.Id).
			WithFix("upgrade the runner")
	}
	if !l.Ready() {
		return nil, fault.New(fault.RunnerDraining, "runner %s is not accepting new work", l.info.Id)
	}
	if err := l.wake(ctx); err != nil {
		return nil, err
	}
	frame, _, err := l.exchange(ctx, &runnerv1.CoreFrame{Kind: &runnerv1.CoreFrame_ReadLogs{ReadLogs: req}}, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	switch k := frame.Kind.(type) {
	case *runnerv1.RunnerFrame_Logs:
		return l.checkPage(req, k.Logs)
	case *runnerv1.RunnerFrame_Failure:
		return nil, failureError(k.Failure, l.info.Id)
	}
	return nil, fault.New(fault.Internal, "runner %s answered a question for logs with %T", l.info.Id, frame.Kind)
}

// checkPage refuses a page that a runner of this protocol does not send, and
// cuts the texts of the others.
func (l *Lane) checkPage(req *runnerv1.ReadLogsRequest, page *runnerv1.ReadLogsResponse) (*runnerv1.ReadLogsResponse, error) {
	checked := &runnerv1.ReadLogsResponse{More: page.GetMore(), Gap: page.GetGap()}
	last, bytes := req.GetAfterNanos(), 0
	for _, e := range page.GetEntries() {
		bytes += len(e.GetText()) + len(e.GetTrace()) + len(e.GetMessage())
		t := e.GetTime().AsTime().UnixNano()
		switch {
		case !e.GetTime().IsValid() || t <= last:
			return nil, fault.New(fault.Internal, "runner %s sent logs that are not in order of time", l.info.Id)
		case len(checked.Entries) == maxEntries || bytes > maxLogPage:
			return nil, fault.New(fault.Internal, "runner %s sent a page of logs of %d entries and more than %d bytes, the limits are %d and %d", l.info.Id, len(page.GetEntries()), bytes, maxEntries, maxLogPage)
		case req.GetService() != "" && e.GetService() != req.GetService(), req.GetCallId() != "" && e.GetCallId() != req.GetCallId():
			return nil, fault.New(fault.Internal, "runner %s sent logs that were not asked for", l.info.Id)
		}
		last = t
		checked.Entries = append(checked.Entries, &ruedov1.LogEntry{
			Time:    timestamppb.New(time.Unix(0, t)),
			Service: printable(e.GetService(), names.Max), Revision: e.GetRevision(), CallId: printable(e.GetCallId(), maxID), Runner: l.info.Id,
			Text: lines(e.GetText(), maxLogText), Dropped: e.GetDropped(),
			Reason: printable(e.GetReason(), maxID), Message: lines(e.GetMessage(), maxLogLine), Trace: lines(e.GetTrace(), maxTrace),
		})
	}
	checked.More = checked.More && len(checked.Entries) > 0
	return checked, nil
}

// readLogs answers ReadLogs of the other end.
func (c *Conn) readLogs(ctx context.Context, req *runnerv1.ReadLogsRequest) *runnerv1.RunnerFrame {
	r, ok := c.runner.(executor.LogReader)
	if !ok {
		return failed(fault.New(fault.Unimplemented, "runner %s keeps no logs", c.cfg.Runner.GetId()))
	}
	if len(req.GetService()) > names.Max || len(req.GetCallId()) > maxID || req.GetWaitNanos() < 0 {
		return failed(fault.New(fault.RequestInvalid, "the question for logs is not valid"))
	}
	page, err := r.ReadLogs(ctx, req)
	if err != nil {
		return failed(err)
	}
	return &runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_Logs{Logs: page}}
}
