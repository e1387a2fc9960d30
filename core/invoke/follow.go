package invoke

import (
	"context"
	"errors"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// brief is how long a service can take without its calls being followed: they end soon
// in any case, and ordinary calls cost nothing more.
const brief = 10 * time.Second

// follow returns a context that ends when the caller may not have the call any more. Call
// leave when the call is over.
func (c Call) follow(ctx context.Context) (_ context.Context, leave func()) {
	if c.invoker.cfg.Follow == nil || c.Timeout() <= brief {
		return ctx, func() {}
	}
	ctx, end := context.WithCancelCause(ctx)
	left := c.invoker.cfg.Follow(ctx, c.service(), end)
	return ctx, func() {
		left()
		end(nil)
	}
}

// revoked returns why a call has failed. One that has ended because its caller may not
// have it any more was not canceled by its caller.
func revoked(ctx context.Context, err error) error {
	e := fault.FromError(err)
	ended, ok := errors.AsType[*fault.Error](context.Cause(ctx))
	if !ok || e.Reason != fault.Canceled {
		return err
	}
	why := *ended
	why.Details, why.NotStarted = e.Details, e.NotStarted
	return &why
}
