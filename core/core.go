// Package core assembles one control-plane process of a cluster.
//
//	c, err := core.New(ctx, core.Config{Cluster: "default", Store: store.Config{Client: etcd.Client()}, ...})
//	err = c.Serve(ctx) // until ctx ends
//	err = c.Close(ctx)
//
// Any number of cores on one store behave as one: each keeps a mirror of the
// catalog, each has its own lanes to the runners, and none of them holds state
// that is not in the store.
//
// # Who executes
//
// The control plane never executes anything itself. With [Config.Distributed]
// calls go to attached runners, always; without it they go to [Config.Local],
// an in-process runner that the assembler of the program hands in.
//
// # Going down
//
// When the context of Serve ends, the core takes no new connections, lets calls
// under way finish, then closes its lanes and leaves the cluster. Runners that
// know other cores go on with them.
package core

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/api"
	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/gateway"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/publish"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/exec"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/telemetry"
)

// Defaults of Config.
const (
	DefaultListen    = "127.0.0.1:7833"
	DefaultMaxModule = 32 << 20
	DefaultLeaseTTL  = 5 * time.Second
	DefaultDrain     = 30 * time.Second
)

// Config says what a core is made of. The zero value of a field means its
// default.
type Config struct {
	// Cluster is the cluster's id. Needed.
	Cluster string
	// Store says where the catalog is; its Cluster and Logger are filled in.
	Store store.Config
	// Listen is the host:port to serve on; "" means DefaultListen, port 0 picks
	// one, "-" means no port at all: only Handler is served, by the caller.
	Listen string
	// URL is where runners and clients reach this core; "" means the address
	// that it listens on.
	URL string
	// Distributed sends every call to an attached runner. Without it Local
	// executes.
	Distributed bool
	// Local is the in-process runner; needed where Distributed is false.
	Local Local
	// MaxModule bounds a module, in bytes.
	MaxModule int64
	// LeaseTTL is how long after its death the core is still listed.
	LeaseTTL time.Duration
	// Drain bounds how long going down waits for calls under way.
	Drain time.Duration
	// Port bounds what callers may cost; see [port.Config]. Its Count, Panicked
	// and Logger are filled in.
	Port port.Config
	// Version of the program, for people.
	Version string
	// Logger; nil discards.
	Logger *slog.Logger
}

// Local is a runner in this process: bound to where its modules come from, it
// executes.
type Local interface {
	Bind(src exec.Source) exec.Runner
	Info() *ruedov1.Runner
}

// Core is one control-plane process.
type Core struct {
	cfg        Config
	log        *slog.Logger
	self       *ruedov1.Core
	store      *store.Store
	mirror     *mirror.Mirror
	catalog    *catalog.Catalog
	metrics    *telemetry.Metrics
	dispatcher *dispatch.Dispatcher
	lanes      *lane.Host
	membership *fleet.Membership
	// registrations are the goroutines that keep core-attached runners listed.
	registrations sync.WaitGroup
	listener      net.Listener
	port          *port.Server
	// down is closed when the core goes down; streams that would go on for ever
	// end with it.
	down context.Context
	stop context.CancelFunc
	// plans is done when the goroutine that tells the dispatcher of new plans is.
	plans chan struct{}
}

// New opens the store, joins the cluster and opens the port. It serves nothing
// before Serve; Close undoes it.
func New(ctx context.Context, cfg Config) (_ *Core, err error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.MaxModule == 0 {
		cfg.MaxModule = DefaultMaxModule
	}
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = DefaultLeaseTTL
	}
	if cfg.Drain == 0 {
		cfg.Drain = DefaultDrain
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if !cfg.Distributed && cfg.Local == nil {
		return nil, errors.New("core: neither distributed execution nor a local runner")
	}
	c := &Core{cfg: cfg, log: cfg.Logger, plans: make(chan struct{})}
	c.down, c.stop = context.WithCancel(context.Background())
	close(c.plans)
	defer func() {
		if err != nil {
			_ = c.Close(context.WithoutCancel(ctx))
		}
	}()

	// The port first: it is what fails most, and nothing is joined yet.
	if cfg.Listen != "-" {
		if c.listener, err = port.Listen(cfg.Listen); err != nil {
			return nil, err
		}
		if c.cfg.URL == "" {
			c.cfg.URL = "http://" + c.listener.Addr().String()
		}
	}
	cfg.Store.Cluster, cfg.Store.Logger, cfg.Store.MaxModule = cfg.Cluster, cfg.Logger, cfg.MaxModule
	if c.store, err = store.Open(ctx, cfg.Store); err != nil {
		return nil, err
	}
	if c.mirror, err = mirror.Open(ctx, mirror.Config{Store: c.store, Logger: cfg.Logger}); err != nil {
		return nil, err
	}
	c.self = describe(c.cfg)
	c.assemble()
	if c.listener != nil {
		if err := c.join(ctx); err != nil {
			return nil, err
		}
	}
	c.catalog.Start()
	c.plans = make(chan struct{})
	go c.followPlans()
	return c, nil
}

func describe(cfg Config) *ruedov1.Core {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &ruedov1.Core{Id: "core-" + shortID(), Host: host, Url: cfg.URL, Version: cfg.Version, StartTime: timestamppb.Now()}
}

// shortID is the random end of a ULID: enough to tell processes apart.
func shortID() string {
	id := ulid.Make().String()
	return strings.ToLower(id[len(id)-8:])
}

// assemble puts the rooms together, from the lane up to the port.
func (c *Core) assemble() {
	c.dispatcher = dispatch.New(dispatch.Config{Logger: c.log})
	c.metrics = telemetry.New(c.readyRunners)
	c.catalog = catalog.New(catalog.Config{Mirror: c.mirror, Executor: c.dispatcher, Logger: c.log})
	invoker := invoke.New(invoke.Config{Catalog: c.catalog, Observe: c.metrics.Call})
	source := &source{catalog: c.catalog, modules: newModules(c.store.ReadModule)}
	if !c.cfg.Distributed {
		c.dispatcher.Add(newLocalMember(c.cfg.Local, source))
	}
	c.lanes = lane.NewHost(lane.HostConfig{
		Core:     c.self,
		Cluster:  c.cfg.Cluster,
		Source:   source,
		OnAttach: c.attach,
		Logger:   c.log,
	})
	publisher := publish.New(publish.Config{Store: c.store, Mirror: c.mirror, Catalog: c.catalog, Dispatcher: c.dispatcher})

	cfg := c.cfg.Port
	cfg.Count, cfg.Panicked, cfg.Logger = c.metrics.Requests, c.metrics.Panic, c.log
	if u, err := url.Parse(c.cfg.URL); err == nil && u.Hostname() != "" {
		cfg.Hosts = append(slices.Clip(cfg.Hosts), u.Hostname())
	}
	c.port = port.New(cfg)
	api.Mount(c.port, api.Config{
		Store: c.store, Mirror: c.mirror, Catalog: c.catalog, Invoker: invoker, Publisher: publisher, Dispatcher: c.dispatcher,
		Core: c.self, Cluster: c.cfg.Cluster, Distributed: c.cfg.Distributed, MaxModule: c.cfg.MaxModule,
		Done: c.down.Done(),
	})
	c.port.Handle("/call/", "call", port.Bounds{Weight: callWeight}, gateway.New(invoker, c.log))
	c.port.Handle("GET /metrics", "metrics", port.Bounds{}, c.metrics.Handler())
	c.port.Handle("GET /healthz", "healthz", port.Bounds{}, http.HandlerFunc(healthy))
	c.port.Handle("GET /readyz", "readyz", port.Bounds{}, http.HandlerFunc(c.ready))
	small := port.Bounds{Message: 4 << 10, Weight: 8}
	c.port.Connect(small, c.lanes.Handler, map[string]port.Bounds{
		runnerv1connect.RunnerServiceAttachProcedure:     {Message: lane.MaxRequest, Body: -1, Stream: true, Unchecked: true},
		runnerv1connect.RunnerServicePushOutputProcedure: {Message: lane.MaxRequest, Body: lane.MaxPush, Unchecked: true},
	})
}

// callWeight is how many bytes of memory a byte of an input may take while it is
// read: buffers grow by doubling.
const callWeight = 3

func healthy(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n")) // the caller is gone
}

// ready answers whether calls sent here now would find a runner.
func (c *Core) ready(w http.ResponseWriter, _ *http.Request) {
	if !c.dispatcher.Ready() {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("no runner is attached and ready\n"))
		return
	}
	healthy(w, nil)
}

// join lists this core in the cluster, so that runners and other cores find it.
func (c *Core) join(ctx context.Context) (err error) {
	c.membership, err = c.store.Cluster().AnnounceCore(ctx, c.self, c.cfg.LeaseTTL)
	return err
}

// Handler serves everything that the core's port serves.
func (c *Core) Handler() http.Handler { return c.port.Handler() }

// Routes are all routes of the core's port, with their bounds.
func (c *Core) Routes() []port.Route { return c.port.Routes() }

// URL is where this core is reached; empty where it has no port.
func (c *Core) URL() string { return c.cfg.URL }

// ID is the core's id in the cluster.
func (c *Core) ID() string { return c.self.GetId() }

// Serve serves the port until ctx ends, then goes down gently. It returns nil
// where that went well.
func (c *Core) Serve(ctx context.Context) error {
	if c.listener == nil {
		<-ctx.Done()
		return nil
	}
	failed := make(chan error, 1)
	go func() { failed <- c.port.Serve(c.listener) }()
	c.log.Info("core is serving", "core", c.ID(), "cluster", c.cfg.Cluster, "url", c.URL())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	c.log.Info("core is going down", "core", c.ID())
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Drain)
	defer cancel()
	c.stop()
	// Lanes last until the calls on them have ended.
	drained := c.port.Drain(drain)
	lanes := c.lanes.Close(drain)
	closed := c.port.Close(drain)
	<-failed
	return errors.Join(drained, lanes, closed)
}

// Close leaves the cluster and gives back what New took. Call it after Serve
// has returned.
func (c *Core) Close(ctx context.Context) error {
	c.stop()
	<-c.plans
	if c.catalog != nil {
		c.catalog.Close()
	}
	var errs []error
	if c.listener != nil {
		_ = c.listener.Close() // closed already where Serve ran
	}
	if c.lanes != nil {
		errs = append(errs, c.lanes.Close(ctx))
	}
	if c.port != nil {
		errs = append(errs, c.port.Close(ctx)) // closed already if Serve drained it
	}
	if c.dispatcher != nil {
		c.dispatcher.Close()
	}
	c.registrations.Wait()
	if c.membership != nil {
		errs = append(errs, c.membership.Close(ctx))
	}
	if c.mirror != nil {
		errs = append(errs, c.mirror.Close())
	}
	if c.store != nil {
		errs = append(errs, c.store.Close())
	}
	return errors.Join(errs...)
}

// followPlans tells the dispatcher what is live, so that runners which attach
// prepare it before they get calls.
func (c *Core) followPlans() {
	defer close(c.plans)
	var services map[string]*ruedov1.Service
	for {
		changed := c.mirror.Changed()
		c.dispatcher.SetPlans(c.catalog.Plans())
		now := c.mirror.Snapshot().Services
		c.forget(services, now)
		services = now
		select {
		case <-changed:
		case <-c.down.Done():
			return
		}
	}
}
