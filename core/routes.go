package core

import (
	"net/url"
	"slices"

	"github.com/ruedo-dev/ruedo/core/api"
	"github.com/ruedo-dev/ruedo/core/backup"
	"github.com/ruedo-dev/ruedo/core/exchange"
	"github.com/ruedo-dev/ruedo/core/freshness"
	"github.com/ruedo-dev/ruedo/core/gateway"
	"github.com/ruedo-dev/ruedo/core/inspect"
	"github.com/ruedo-dev/ruedo/core/logs"
	"github.com/ruedo-dev/ruedo/core/publish"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/port"
)

func (c *Core) portConfig() port.Config {
	cfg := c.cfg.Port
	cfg.Count, cfg.Panicked, cfg.Logger = c.metrics.Requests, c.metrics.Panic, c.log
	cfg.Identify, cfg.Rule, cfg.Allow = c.auth.Identify, c.auth.Rule, c.auth.Allow
	cfg.Cluster = c.cfg.Cluster
	if c.appsAt != nil {
		cfg.Connections = max(port.MaxConnections(cfg.Connections)/2, 1)
	}
	if u, err := url.Parse(c.cfg.URL); err == nil && u.Hostname() != "" {
		cfg.Hosts = append(slices.Clip(cfg.Hosts), u.Hostname())
	}
	return cfg
}

// passesAuthorization reports whether everybody may call a service that gets to see
// the field Authorization of its requests. Who has to show a token to call it has no
// other use for the field.
func (c *Core) passesAuthorization(service string) bool {
	return c.catalog.PassesAuthorization(service) && c.auth.Public(service)
}

// mount mounts everything that the core serves on its port.
func (c *Core) mount() {
	publisher := publish.New(publish.Config{
		Store: recorded{c.store, c.events}, Mirror: c.mirror, Catalog: c.catalog, Dispatcher: c.dispatcher, AnyPlacement: c.cfg.AnyPlacement, Hosts: c.portConfig().Hosts, Check: c.auth.Check,
	})
	fresh := freshness.New(freshness.Config{Mirror: c.mirror})
	api.Mount(c.port, api.Config{
		Store: c.store, Mirror: c.mirror, Catalog: c.catalog, Invoker: c.invoker, Publisher: publisher, Dispatcher: c.dispatcher,
		Peers: c.peers, Self: c.now, Cluster: c.cfg.Cluster, Distributed: c.cfg.Distributed, Modules: c.cfg.Modules,
		OpenRequests: exchange.PerService(exchange.DefaultMaxOpen),
		Members:      c.members, Cordons: c.cordons,
		Logs:    logs.New(logs.Config{Runners: c.dispatcher.Members, Absent: c.absent, Done: c.down.Done()}),
		Backups: backup.New(backup.Config{Store: c.store, Mirror: c.mirror, Convert: c.cfg.Steps.Convert, Restored: c.recordRestored, Version: c.cfg.Version}),
		Elector: c.elector, Jobs: c.jobs, Users: c.users, Login: c.login,
		Check: c.auth.Check,
		Fresh: fresh,
		Done:  c.down.Done(),
	})
	gateway.Mount(c.port, c.invoker, fresh.Handler, c.log)
	exchange.Mount(c.port, exchange.Config{
		Invoker: c.invoker, Routes: c.catalog, Passes: c.passesAuthorization, Apps: c.apps, Fresh: fresh.Handler, Follow: c.auth.FollowCall, Down: c.down, Logger: c.log,
	})
	c.port.Handle("GET /metrics", "metrics", access.Needs(access.Read, access.Cluster), port.Bounds{}, c.metrics.Handler(visibleServices))
	c.mountProbes()
	small := port.Bounds{Message: 4 << 10, Weight: 8}
	c.port.Connect(small, c.events.Handler, nil)
	c.port.Connect(small, c.audit.Handler, nil)
	c.port.Connect(small, c.trust.Handler, nil)
	c.port.Connect(small, inspect.New(inspect.Config{
		Mirror: c.mirror, Dispatcher: c.dispatcher, Cordons: c.cordons, Elector: c.elector, Catalog: c.catalog, Members: c.members, Peers: c.peers,
		Self: c.now, Cluster: c.cfg.Cluster, Distributed: c.cfg.Distributed, AnyPlacement: c.cfg.AnyPlacement, Lease: c.cfg.LeaseTTL,
	}).Handler, nil)
	c.port.Connect(small, c.lanes.Handler, map[string]port.Bounds{
		runnerv1connect.RunnerServiceAttachProcedure:     {Message: lane.MaxRequest, Body: -1, Stream: true, Unchecked: true},
		runnerv1connect.RunnerServicePushOutputProcedure: {Message: lane.MaxRequest, Body: lane.MaxPush, Unchecked: true},
		// As long as their call, and only for runners with a lane.
		runnerv1connect.RunnerServiceFetchBodyProcedure:  {Message: 4 << 10, Stream: true, Unchecked: true},
		runnerv1connect.RunnerServicePushAnswerProcedure: {Message: lane.MaxRequest, Body: -1, Stream: true, Unchecked: true},
	})
}
