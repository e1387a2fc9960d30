package assemble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/core"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sandbox"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Cluster is a whole cluster in this process.
type Cluster struct {
	// URL of its core, and of the core's port for web applications, "" if there is none.
	URL, AppsURL string
	// Runners are the ids of its runners.
	Runners []string

	core  *core.Core
	first *runner.Runner // nil if there are none
	delay time.Duration  // with which a part begins to end

	ctx    context.Context
	cancel context.CancelCauseFunc
	outer  context.Context
	parts  sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

// Cluster starts store, core and runners, and returns when the runners accept
// calls. If dir is "", the store is temporary.
func (a *Assembler) Cluster(ctx context.Context, log *slog.Logger, dir string, runners int) (_ *Cluster, err error) {
	addr, apps := a.listenAddress(), a.Settings.Server.AppsListen
	by, err := a.entrance(addr, false, log)
	if err != nil {
		return nil, err
	}
	if len(a.Settings.Store.EtcdHosts) > 0 {
		a.infof("note: this cluster has a store of its own; store.etcd_hosts is not used")
	}
	st, err := a.embed(ctx, dir, log, nil)
	if err != nil {
		return nil, err
	}
	c := &Cluster{outer: ctx, delay: a.Settings.Server.ShutdownDelay}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	c.core, err = a.newCore(c.ctx, log, st, func(cfg *core.Config) {
		cfg.Listen, cfg.URL, cfg.Apps, cfg.Distributed = addr, a.advertised(), apps, true
		cfg.AnyPlacement = true // its runners stand for all others
		cfg.Login, cfg.TLS, cfg.Socket = by.Login, by.TLS, by.Socket
	})
	if err != nil {
		return nil, err
	}
	c.URL, c.AppsURL = c.core.URL(), c.core.AppsURL()
	c.run("the core", c.core.Serve)
	for i := range runners {
		name := fmt.Sprintf("dev-%d", i+1)
		r, err := a.newRunner(c.ctx, log, func(cfg *runner.Config) {
			cfg.ID, cfg.Name, cfg.Cores = name, name, []string{c.URL}
			cfg.ShareWith = c.first
			cfg.Access = func(string) runner.Access { return runner.Access{Socket: c.core.Socket()} }
			cfg.LogSuccesses = cfg.LogSuccesses || !a.Settings.IsSet("runner.log_successes")
		})
		if err != nil {
			return nil, err
		}
		c.first = cmp.Or(c.first, r)
		c.Runners = append(c.Runners, name)
		c.run("runner "+name, r.Serve)
	}
	return c, c.attached(runners)
}

// Expect has the runners compile a module before it is published, and hold the code
// until ctx ends: they share one sandbox.
func (c *Cluster) Expect(ctx context.Context, wasm []byte, l sandbox.Limits) {
	if c.first != nil {
		c.first.Expect(ctx, wasm, l)
	}
}

// Ready says that a module is about to be expected.
func (c *Cluster) Ready() {
	if c.first != nil {
		c.first.Ready()
	}
}

// run serves a part until the cluster ends; a part that fails ends it.
func (c *Cluster) run(what string, f func(context.Context) error) {
	c.parts.Go(func() {
		err := serve(c.ctx, what, c.delay, f)
		if err == nil {
			return
		}
		c.mu.Lock()
		c.errs = append(c.errs, err)
		c.mu.Unlock()
		c.cancel(err)
	})
}

// attached waits until n runners are ready.
func (c *Cluster) attached(n int) error {
	at := c.URL
	if path := c.core.Socket(); path != "" {
		at = client.SocketURL(path)
	}
	api := client.New(at, client.WithRetries(0))
	ctx, cancel := context.WithTimeout(c.ctx, 15*time.Second)
	defer cancel()
	for {
		res, err := api.Cluster.ListRunners(ctx, &ruedov1.ListRunnersRequest{})
		ready := 0
		for _, r := range res.GetItems() {
			if r.GetState() == ruedov1.RunnerState_RUNNER_STATE_READY {
				ready++
			}
		}
		if err == nil && ready >= n {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// Wait waits until the cluster ends, by a signal or because a part failed.
func (c *Cluster) Wait() error {
	c.parts.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.errs...)
}

// Stop ends the cluster and waits until it has ended.
func (c *Cluster) Stop() {
	c.cancel(nil)
	c.parts.Wait()
}
