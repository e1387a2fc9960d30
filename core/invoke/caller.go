package invoke

import (
	"context"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// callerOf returns who a context is of, as its service sees it: "" if nobody was asked.
// A name that does not fit is refused, because part of it can be somebody else's.
func callerOf(ctx context.Context) (string, error) {
	r := access.Of(ctx)
	if r == nil || r.Assumed {
		return "", nil
	}
	name := executor.EscapeCaller(r.Name)
	if len(name) > executor.MaxCaller {
		e := fault.New(fault.RequestInvalid, "the name of the caller has %d bytes, and services see at most %d", len(name), executor.MaxCaller).
			With("limit", executor.MaxCaller).WithFix("log in as a user with a shorter name")
		e.NotStarted = true
		return "", e
	}
	return name, nil
}

// Until returns a context for calls that ends at a time. It has no timer until somebody
// waits for its end; see [executor.Deadline].
func Until(ctx context.Context, at time.Time) (context.Context, context.CancelFunc) {
	d := executor.WithDeadline(ctx, at, nil)
	return d, d.Stop
}
