package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// HeaderTimeout is the header field of a request that says how long its caller
// waits for the answer, from the arrival of the request on: a duration of Go,
// such as "1.5s" or "250ms".
const HeaderTimeout = "Ruedo-Timeout"

// maxTimeout is the longest time that a caller can give. The service's own
// limits apply in any case.
const maxTimeout = 24 * time.Hour

// withDeadline returns the request's context with the caller's deadline, if it
// gave one. The caller of withDeadline calls cancel.
func withDeadline(r *http.Request) (ctx context.Context, cancel context.CancelFunc, err error) {
	values := r.Header[HeaderTimeout]
	if len(values) == 0 {
		return r.Context(), func() {}, nil
	}
	timeout, err := time.ParseDuration(values[0])
	if err != nil || len(values) > 1 || timeout <= 0 || timeout > maxTimeout {
		what := values[0]
		if len(values) > 1 {
			what += " and another one"
		}
		e := fault.New(fault.RequestInvalid, "the header field %s is %.64q: one duration such as 1.5s or 250ms is expected, up to %.0fh", HeaderTimeout, what, maxTimeout.Hours()).
			With("limit", maxTimeout).WithFix("send a valid duration, or leave the field out")
		e.NotStarted = true
		return nil, nil, e
	}
	ctx, cancel = context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}
