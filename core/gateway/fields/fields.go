// Package fields reads the header fields with which a request says how a call is to
// be executed, and writes those with which an answer says what became of it. Package
// headers has the table of them.
package fields

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"

	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

// WithDeadline returns the request's context with the caller's deadline, if it
// gave one. The caller of WithDeadline calls cancel.
func WithDeadline(r *http.Request) (ctx context.Context, cancel context.CancelFunc, err error) {
	values := r.Header[headers.Timeout]
	if len(values) == 0 {
		return r.Context(), func() {}, nil
	}
	timeout, err := time.ParseDuration(values[0])
	if err != nil || len(values) > 1 || timeout <= 0 || timeout > headers.MaxTimeout {
		what := values[0]
		if len(values) > 1 {
			what += " and another one"
		}
		e := fault.New(fault.RequestInvalid, "the header field %s is %.64q: one duration such as 1.5s or 250ms is expected, up to %.0fh", headers.Timeout, what, headers.MaxTimeout.Hours()).
			With("limit", headers.MaxTimeout).WithFix("send a valid duration, or leave the field out")
		e.NotStarted = true
		return nil, nil, e
	}
	ctx, cancel = invoke.Until(r.Context(), time.Now().Add(timeout))
	return ctx, cancel, nil
}

// WantsLogs reports whether a request asks for logs.
func WantsLogs(r *http.Request) bool {
	v := r.Header[headers.Logs]
	return len(v) > 0 && (v[0] == "1" || v[0] == "true")
}

// SetInfo sets the fields of what a call took.
func SetInfo(h http.Header, info *ruedov1.CallInfo) {
	if info.GetRunner() == "" {
		Set(h, headers.CallID, info.GetCallId())
		return
	}
	Set(h,
		headers.CallID, info.GetCallId(),
		headers.Runner, info.GetRunner(),
		headers.Duration, info.GetDuration().AsDuration().String(),
		headers.Revision, strconv.FormatUint(info.GetRevision(), 10),
		headers.CPUTime, info.GetCpuTime().AsDuration().String(),
		headers.Memory, strconv.FormatUint(info.GetMemoryBytes(), 10),
		headers.Fuel, strconv.FormatUint(info.GetFuel(), 10),
		headers.Start, start(info.GetCold()),
	)
	if code := info.GetExitCode(); code != 0 {
		Set(h, headers.ExitCode, strconv.FormatUint(uint64(uint32(code)), 10))
	}
}

// SetLogs sets the header fields of logs, if there are any.
func SetLogs(h http.Header, info *ruedov1.CallInfo) {
	if len(info.GetLogs()) == 0 {
		return
	}
	logs, dropped := invoke.LastLogs(info.GetLogs(), info.GetLogsDropped(), headers.MaxLogs)
	Set(h, headers.Logs, base64.StdEncoding.EncodeToString(logs))
	if dropped > 0 {
		Set(h, headers.LogsDropped, strconv.FormatUint(dropped, 10))
	}
}

// Set sets header fields, given as canonical names and values in turn, with one
// allocation for all of them.
func Set(h http.Header, fields ...string) {
	values := make([]string, len(fields)/2)
	for i := range values {
		values[i] = fields[2*i+1]
		h[fields[2*i]] = values[i : i+1 : i+1]
	}
}

func start(cold bool) string {
	if cold {
		return headers.Cold
	}
	return headers.Warm
}
