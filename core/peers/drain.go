package peers

import (
	"context"
	"net/http"
	"sync"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

// Drain asks the other cores for the calls that they have in flight on a runner,
// once they heed a version of its cordon. It returns their answers by the ids of
// the cores. A core that does not answer within a second is not among them.
func (p *Peers) Drain(ctx context.Context, cores map[string]*ruedov1.Core, runner string, version int64) map[string]*ruedov1.GetDrainResponse {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	answers := map[string]*ruedov1.GetDrainResponse{}
	turns := make(chan struct{}, parallel)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for id, core := range cores {
		if id == p.cfg.Self || core.GetUrl() == "" {
			continue
		}
		wg.Go(func() {
			select {
			case turns <- struct{}{}:
				defer func() { <-turns }()
			case <-ctx.Done():
				return
			}
			api := ruedov1connect.NewCordonServiceClient(&http.Client{Transport: p.transport}, core.GetUrl(), connect.WithReadMaxBytes(maxAnswer))
			ctx, info := connect.NewClientContext(ctx)
			info.RequestHeader().Set(headers.Cluster, p.cfg.Cluster)
			res, err := api.GetDrain(ctx, &ruedov1.GetDrainRequest{Runner: runner, Version: version, Local: true})
			// Behind the address of a core can be another one by now.
			if err != nil || len(res.GetCores()) != 1 || res.GetCores()[0].GetCore() != id {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers[id] = res
		})
	}
	wg.Wait()
	return answers
}
