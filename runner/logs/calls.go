package logs

import (
	"context"
	"log/slog"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxWhy bounds how much of an error is in the line of a call, in bytes.
const maxWhy = 500

// Calls writes a line for each call of a plan to the runner's own log.
type Calls struct {
	logs      *Logs
	about     []any
	succeeded *slog.Logger // it has encoded about
}

// Calls returns what writes the lines of a plan's calls. about says what the plan is,
// as the arguments of [slog.Logger.With] do.
func (l *Logs) Calls(about ...any) *Calls {
	about = append(about, "runner", l.cfg.Runner)
	return &Calls{l, about, l.cfg.Calls.With(about...)}
}

// Executed writes the line of a call. egress may be empty; failed is nil if the call
// succeeded.
func (c *Calls) Executed(ctx context.Context, id string, took, cpu time.Duration, egress slog.Attr, failed *fault.Error) {
	log, outcome := c.succeeded, "ok"
	if failed != nil {
		log, outcome = c.logs.cfg.Logger.With(c.about...), string(failed.Reason)
	}
	log.LogAttrs(ctx, slog.LevelInfo, "executed call", slog.String("call_id", id),
		slog.Duration("duration", took), slog.Duration("cpu", cpu), slog.String("outcome", outcome), egress, c.why(failed))
}

// why returns the error of a call as an attribute that can be empty. What a guest
// says can contain payloads, so it is in the log only of who asked for what guests
// say.
func (c *Calls) why(failed *fault.Error) slog.Attr {
	if failed == nil || failed.Reason == fault.GuestError && !c.logs.cfg.Successes {
		return slog.Attr{}
	}
	return slog.String("error", fault.Cut(failed.Error(), maxWhy))
}
