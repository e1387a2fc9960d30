package core

import (
	"context"
	"os"
	"strings"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/telemetry"
)

// onClose makes Close call undo, before it undoes everything that was started
// earlier.
func (c *Core) onClose(undo func(context.Context) error) { c.closers = append(c.closers, undo) }

// start creates the parts of a core, each after those that it needs, and
// registers how to close each of them. If one cannot be created, Close closes
// those before it.
func (c *Core) start(ctx context.Context) (err error) {
	// The port comes first, because it is the most likely part to fail.
	if c.cfg.Listen != "-" {
		if c.listener, err = port.Listen(c.cfg.Listen); err != nil {
			return err
		}
		c.onClose(func(context.Context) error {
			_ = c.listener.Close() // closed already if Serve ran
			return nil
		})
		if c.cfg.URL == "" {
			c.cfg.URL = "http://" + c.listener.Addr().String()
		}
	}
	c.self = describe(c.cfg)

	st := c.cfg.Store
	st.Cluster, st.Logger, st.MaxModule = c.cfg.Cluster, c.log, c.cfg.MaxModule
	if c.store, err = store.Open(ctx, st); err != nil {
		return err
	}
	c.onClose(func(context.Context) error { return c.store.Close() })

	if c.mirror, err = mirror.Open(ctx, mirror.Config{Store: c.store, Logger: c.log}); err != nil {
		return err
	}
	c.onClose(func(context.Context) error { return c.mirror.Close() })

	c.metrics = telemetry.New(c.readyRunners)

	c.dispatcher = dispatch.New(dispatch.Config{Logger: c.log})
	c.onClose(func(context.Context) error { c.dispatcher.Close(); return nil })

	c.catalog = catalog.New(catalog.Config{Mirror: c.mirror, Executor: c.dispatcher, Logger: c.log})
	c.catalog.Start()
	c.onClose(func(context.Context) error { c.catalog.Close(); return nil })
	c.invoker = invoke.New(invoke.Config{Catalog: c.catalog, MaxWait: c.cfg.QueueTimeout, Observe: c.metrics.Call})

	c.onClose(func(context.Context) error { c.goroutines.Wait(); return nil })
	c.goroutines.Go(c.followPlans)

	source := &source{catalog: c.catalog, modules: newModules(c.store.ReadModule)}
	if !c.cfg.Distributed {
		c.dispatcher.Add(newLocalMember(c.cfg.Local, source))
	}

	c.port = port.New(c.portConfig())
	c.onClose(c.port.Close)

	c.lanes = lane.NewHub(lane.HubConfig{
		Core: c.self, Cluster: c.cfg.Cluster, Source: source, OnAttach: c.attach, Logger: c.log,
	})
	c.onClose(c.lanes.Close)

	c.mount()
	return nil
}

func describe(cfg Config) *ruedov1.Core {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &ruedov1.Core{Id: "core-" + shortID(), Host: host, Url: cfg.URL, Version: cfg.Version, StartTime: timestamppb.Now()}
}

// shortID returns the random end of a ULID: enough to tell processes apart.
func shortID() string {
	id := ulid.Make().String()
	return strings.ToLower(id[len(id)-8:])
}

// join lists this core in the cluster, so that runners and other cores find it.
func (c *Core) join(ctx context.Context) error {
	entry, err := c.store.Cluster().RegisterCore(ctx, c.self, c.cfg.LeaseTTL)
	if err != nil {
		return err
	}
	c.onClose(entry.Close)
	return nil
}
