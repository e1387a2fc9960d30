package peers

import (
	"context"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

// Drain asks the other cores for the calls that they have in flight on a runner,
// once they heed a version of its cordon. It returns their answers by the ids of
// the cores. A core that does not answer within a second is not among them.
func (p *Peers) Drain(ctx context.Context, cores map[string]*ruedov1.Core, runner string, version int64) map[string]*ruedov1.GetDrainResponse {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	return gather(ctx, p, cores, func(ctx context.Context, id, url string) *ruedov1.GetDrainResponse {
		api := ruedov1connect.NewCordonServiceClient(p.Client(), url, connect.WithReadMaxBytes(maxAnswer))
		res, err := api.GetDrain(p.Context(ctx), &ruedov1.GetDrainRequest{Runner: runner, Version: version, Local: true})
		// Behind the address of a core can be another one by now.
		if err != nil || len(res.GetCores()) != 1 || res.GetCores()[0].GetCore() != id {
			return nil
		}
		return res
	})
}
