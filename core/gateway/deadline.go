package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

// withDeadline returns the request's context with the caller's deadline, if it
// gave one. The caller of withDeadline calls cancel.
func withDeadline(r *http.Request) (ctx context.Context, cancel context.CancelFunc, err error) {
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
	ctx, cancel = context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}
