// Package drain waits until a runner has nothing left to do.
//
//	res, err := c.Cordons.CordonRunner(ctx, &ruedov1.CordonRunnerRequest{Runner: "rack7-k3x2ab"})
//	_, err = drain.Wait(ctx, c, "rack7-k3x2ab", res.GetCordon().GetVersion(), nil)
package drain

import (
	"context"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// interval is how often a drain asks how far it is.
const interval = 250 * time.Millisecond

// Wait waits until a cordoned runner has no call in flight on any core. version
// is that of the cordon. progress, if not nil, is called with each answer. Wait
// returns the last answer; it ends when ctx does, with its error, and when the
// cordon ends.
//
// Failures that pass, such as those of a core that restarts, are waited for. A
// core that does not answer may have calls in flight, so Wait goes on as long
// as one does not. A core that is gone is no longer asked after a few seconds.
func Wait(ctx context.Context, c *client.Client, runner string, version int64, progress func(*ruedov1.GetDrainResponse)) (*ruedov1.GetDrainResponse, error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var last *ruedov1.GetDrainResponse
	quiet := 0 // answers in a row without calls
	for {
		res, err := c.Cordons.GetDrain(ctx, &ruedov1.GetDrainRequest{Runner: runner, Version: version})
		switch {
		case err != nil && (ctx.Err() != nil || fault.FromError(err).ConnectCode() != fault.CodeUnavailable):
			return last, err
		case err != nil: // a core that restarts
			quiet, res = 0, nil
		default:
			last = res
			if quiet++; res.GetActiveCalls() > 0 {
				quiet = 0
			}
		}
		if res != nil && progress != nil {
			progress(res)
		}
		for _, core := range res.GetCores() {
			if core.GetUnreachable() {
				quiet = 0
			}
		}
		// A call may have been on its way when it was asked for the first time.
		if res != nil && (res.GetCordon() == nil || quiet == 2) {
			return res, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
}
