package lane

import (
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// errorFailure converts an error into a message of the lane.
func errorFailure(err error) *runnerv1.Failure {
	e := faultrpc.FromError(err)
	f := &runnerv1.Failure{
		Code:       uint32(e.ConnectCode()),
		Reason:     string(e.Reason),
		Message:    clip(e.Error()),
		Fix:        clip(e.Fix),
		NotStarted: e.NotStarted,
		RetryNanos: int64(e.RetryAfter),
	}
	if len(e.Meta) > 0 {
		f.Metadata = make(map[string]string, len(e.Meta))
		for k, v := range e.Meta {
			f.Metadata[clip(k)] = clip(v)
		}
	}
	if info, ok := fault.Detail[*ruedov1.CallInfo](e); ok {
		f.Info = proto.CloneOf(info) // its logs may be taken out; errors do not change
	}
	return f
}

// failureError converts the message back into an error. The figures become a
// detail of the error.
func failureError(f *runnerv1.Failure, runner string) *fault.Error {
	e := &fault.Error{
		Reason:     fault.Reason(f.GetReason()),
		Message:    f.GetMessage(),
		Fix:        f.GetFix(),
		Meta:       f.GetMetadata(),
		NotStarted: f.GetNotStarted(),
		RetryAfter: min(max(time.Duration(f.GetRetryNanos()), 0), fault.MaxRetryDelay),
	}
	if !isReason(f.GetReason()) {
		e.Reason = fault.Internal
	}
	if c := fault.Code(f.GetCode()); c.Valid() && c != e.Reason.Code() {
		e.Code = c
	}
	e = cutError(e)
	// A failure with impossible figures is still a failure.
	if info := f.GetInfo(); info != nil && checkInfo(info, runner) == nil {
		info.Runner = runner
		e.Details = append(e.Details, info)
	}
	return e
}

func isReason(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// gone returns the error of a stream whose lane has ended with err. That a runner went
// away, or cannot be reached, is not a fault of this core.
func gone(err error) error {
	if ce, ok := errors.AsType[*connect.Error](err); ok && ce.Code() == connect.CodeInternal || faultrpc.FromError(err).Reason != fault.Internal {
		return err
	}
	return fault.Wrap(err, fault.RunnerLost, "the lane of the runner has ended: %s", cut(err.Error(), maxLine))
}
