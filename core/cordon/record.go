package cordon

import (
	"slices"

	"github.com/ruedo-dev/ruedo/core/dispatch/terms"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// quiet counts the answers in a row in which a runner had no calls, while it had a
// version of its cordon.
type quiet struct {
	version int64
	answers int
}

// observe records that a runner is drained, once for each cordon.
func (c *Cordons) observe(res *ruedov1.GetDrainResponse) {
	id, cordon := res.GetRunner(), res.GetCordon()
	busy := res.GetActiveCalls() > 0 || slices.ContainsFunc(res.GetCores(), (*ruedov1.DrainingCore).GetUnreachable)
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.quiet[id]
	switch {
	case cordon == nil || q.version == cordon.GetVersion() && q.answers >= 2: // it was said
		return
	case busy:
		delete(c.quiet, id)
		return
	case q.version != cordon.GetVersion():
		q = quiet{version: cordon.GetVersion()}
	}
	q.answers++
	c.quiet[id] = q
	if q.answers == 2 {
		c.cfg.Record(ruedov1.EventKind_EVENT_KIND_RUNNER_DRAINED, id, "it has no call in flight on any core: cordoned"+terms.Of(cordon))
	}
}
