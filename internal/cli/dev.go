package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// devCmd is `ruedo dev`.
type devCmd struct {
	DataDir        string `placeholder:"DIR" help:"Keep what is stored in this folder; a temporary one where it is left out."`
	Runners        int    `default:"2" placeholder:"N" help:"How many runners to attach (default 2)."`
	ListenAddress  string `placeholder:"ADDRESS" setting:"server.listen_address"`
	Port           string `short:"p" placeholder:"PORT" setting:"server.port"`
	InsecureListen bool   `setting:"server.insecure_listen"`
}

func (*devCmd) Examples() []string {
	return []string{"ruedo dev", "ruedo dev --data-dir ./cluster --port 0"}
}

func (c *devCmd) Run(a *app) error {
	start := time.Now()
	cluster, err := a.startCluster(a.logger(), c.DataDir, c.Runners)
	if err != nil {
		return err
	}
	defer cluster.stop()
	url := cluster.core.URL()
	if !a.print.ForPeople() {
		err = a.print.Value(map[string]any{"url": url, "runners": cluster.names})
	} else {
		kept := "temporary, gone when this ends (--data-dir DIR keeps it)"
		if c.DataDir != "" {
			kept = c.DataDir
		}
		err = a.say(`ready in %s

  core      %s
  calls     %s/call/NAME
  runners   %s
  store     %s

Try, in another terminal:

  ruedo new greet && cd greet && ruedo publish
  ruedo call greet -d '{"name":"Ada"}'
  curl -d '{"name":"Ada"}' %s/call/greet
%s
Ctrl-C ends it.`, output.Duration(time.Since(start)), url, url, or(list(cluster.names), "none"), kept, url, hostHint(a, url))
	}
	if err != nil {
		return err
	}
	return cluster.wait()
}

// hostHint tells how to reach a cluster that is not where the CLI looks first.
func hostHint(a *app, url string) string {
	if url == coreURL(a.settings.Client.Host, a.settings.Client.Port) {
		return ""
	}
	return fmt.Sprintf("\nwith RUEDO_CLIENT_HOST=%s\n", url)
}

func list(names []string) string {
	text := ""
	for i, n := range names {
		if i > 0 {
			text += ", "
		}
		text += n
	}
	return text
}

// cluster is a whole cluster in this process.
type cluster struct {
	core  *core.Core
	names []string

	ctx    context.Context
	cancel context.CancelCauseFunc
	outer  context.Context
	parts  sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

// startCluster runs store, core and runners, and gives them back when the
// runners take calls. dir "" means a temporary store.
func (a *app) startCluster(log *slog.Logger, dir string, runners int) (_ *cluster, err error) {
	addr, err := a.listenAddress()
	if err != nil {
		return nil, err
	}
	if len(a.settings.Store.EtcdHosts) > 0 {
		a.talk("note: this cluster has a store of its own; store.etcd_hosts is not used")
	}
	etcd, err := etcdembed.Start(a.ctx, etcdembed.Config{Dir: dir, Logger: log})
	if err != nil {
		return nil, err
	}
	a.later(etcd.Close)
	c := &cluster{outer: a.ctx}
	c.ctx, c.cancel = context.WithCancelCause(a.ctx)
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	c.core, err = a.newCore(c.ctx, log, store.Config{Client: etcd.Client()}, func(cfg *core.Config) {
		cfg.Listen, cfg.URL, cfg.Distributed = addr, a.advertised(), true
	})
	if err != nil {
		return nil, err
	}
	c.run(c.core.Serve)
	for i := range runners {
		name := fmt.Sprintf("dev-%d", i+1)
		r, err := a.newRunner(c.ctx, log, func(cfg *runner.Config) {
			cfg.ID, cfg.Name, cfg.Cores = name, name, []string{c.core.URL()}
		})
		if err != nil {
			return nil, err
		}
		c.names = append(c.names, name)
		c.run(r.Serve)
	}
	return c, c.attached(runners)
}

// run serves a part until the cluster ends; a part that fails ends it.
func (c *cluster) run(serve func(context.Context) error) {
	c.parts.Go(func() {
		err := serve(c.ctx)
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
func (c *cluster) attached(n int) error {
	api := client.New(c.core.URL())
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

// wait lasts until the cluster ends, by a signal or by a failure of a part.
func (c *cluster) wait() error {
	c.parts.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.errs...)
}

// stop ends the cluster and waits for it.
func (c *cluster) stop() {
	c.cancel(nil)
	c.parts.Wait()
}
