// Package core assembles one control-plane process of a cluster.
//
//	c, err := core.New(ctx, core.Config{Cluster: "default", Store: store.Config{Client: etcd.Client()}, ...})
//	err = c.Serve(ctx) // until ctx ends
//	err = c.Close(ctx)
//
// Any number of cores on one store behave as one. Each has a mirror of the
// catalog and its own lanes to the runners, and none holds state that is not in
// the store.
//
// # Who executes
//
// The control plane never executes anything itself. With [Config.Distributed],
// calls always go to attached runners. Without it, they go to [Config.Local],
// an in-process runner that the program passes in.
//
// # Going down
//
// When the context of Serve ends, the core is no longer ready and hands the
// leadership over if it has it. After
// [Config.ShutdownDelay] it stops accepting connections, serves those that are
// open for [Config.Farewell], lets calls in flight finish, then closes its lanes
// and leaves the cluster. Runners that know other cores continue with those.
//
// # What only one may do
//
// One core leads the cluster, and runs the jobs of which only one may run; see
// package leader. A core without a port never leads.
package core

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/core/audit"
	"github.com/ruedo-dev/ruedo/core/auth"
	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/collect"
	"github.com/ruedo-dev/ruedo/core/cordon"
	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/door"
	"github.com/ruedo-dev/ruedo/core/events"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/leader"
	"github.com/ruedo-dev/ruedo/core/local"
	"github.com/ruedo-dev/ruedo/core/login"
	"github.com/ruedo-dev/ruedo/core/members"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/peers"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/format"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/trust"
	"github.com/ruedo-dev/ruedo/core/users"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/inflight"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/socket"
	"github.com/ruedo-dev/ruedo/internal/telemetry"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// Defaults of Config.
const (
	DefaultListen   = "127.0.0.1:7833"
	DefaultLeaseTTL = 5 * time.Second
	DefaultDrain    = 30 * time.Second
	// DefaultMaxRunners is the number of runners that a cluster has at most.
	DefaultMaxRunners = 1024
)

// Config configures a core. The zero value of a field means its default.
type Config struct {
	// Cluster is the cluster's id. Required.
	Cluster string
	// Store says where the catalog is; its Cluster and Logger are filled in.
	Store store.Config
	// Member is the member of the store that runs in this process. Nil if the
	// store is an etcd of its own.
	Member members.Keeper
	// Listen is the host:port to serve on. Port 0 picks a free port. "-" means
	// no port at all: the caller serves Handler. Default: [DefaultListen].
	Listen string
	// Apps is the host:port of a second port, for web applications: it serves services
	// of kind http and nothing of the API, so a browser takes it for another origin.
	// Not used without a port. Default: none.
	Apps string
	// URL is where runners and clients reach this core; of a host:port without a scheme,
	// TLS decides which one. Default: the address that it listens on.
	URL string
	// Zone that the core is in. Runners whose label zone is the same get calls
	// before others. Default: none is preferred.
	Zone string
	// AnyPlacement lets any runner execute any service, whatever its placement. It
	// is always so unless Distributed is true.
	AnyPlacement bool
	// Distributed sends every call to an attached runner. If false, Local
	// executes calls.
	Distributed bool
	// Local is the in-process runner. Required if Distributed is false.
	Local local.Runner
	// Modules bounds the modules that are stored. A zero field means its default.
	Modules wasmbin.Limits
	// QueueTimeout is how long a call can wait for its turn on a runner. Default:
	// [executor.DefaultMaxWait].
	QueueTimeout time.Duration
	// MaxRunners bounds the runners of the cluster; see [Core.admit]. Default:
	// [DefaultMaxRunners].
	MaxRunners int
	// MaxLanesPerAddress bounds the runners of one address that are attached to this
	// core. Default: [lane.DefaultMaxLanesPerAddress].
	MaxLanesPerAddress int
	// Login says who may use the cluster. Default: everybody, unless the cluster says
	// otherwise.
	Login Login
	// TLS says how the ports are encrypted. Nil: they are not.
	TLS *door.TLS
	// Socket is the unix socket for the owner of this process. Its Port and Logger are
	// filled in. Nil: there is none.
	Socket *socket.Config
	// Insecure allows to listen beyond this machine without logins or without TLS.
	Insecure bool
	// AuditKeep is how long records of the audit are kept. Default:
	// [audit.DefaultKeep].
	AuditKeep time.Duration
	// LeaseTTL is how long the core is still listed after its process dies.
	// Default: [DefaultLeaseTTL].
	LeaseTTL time.Duration
	// Session is how long a login lasts. Default: [users.DefaultSession].
	Session time.Duration
	// MaxStale is how long the store can be silent until requests are refused, except
	// on the socket. Default: [auth.DefaultMaxStale].
	MaxStale time.Duration
	// BackupDir is where the backup goes that a migration of the store begins with.
	// Default: the directory for temporary files.
	BackupDir string
	// Steps lead from older storage formats to that of Store. Default:
	// [format.Known].
	Steps format.Steps
	// Collect says what the leader keeps of old revisions and unused modules; see
	// [collect.Config].
	Collect collect.Config
	// Drain bounds how long shutting down waits for calls in flight. Default:
	// [DefaultDrain].
	Drain time.Duration
	// ShutdownDelay is how long a core that is going down still serves, while it
	// answers /readyz with 503, so that load balancers can take it out. Default:
	// 0.
	ShutdownDelay time.Duration
	// Farewell is how long a core that is going down serves the connections that
	// are open, while it accepts no others and asks clients to close theirs; see
	// [port.Server.Leave]. Default: 0, they are closed immediately.
	Farewell time.Duration
	// Port bounds what callers can cost; see [port.Config]. Its Count, Panicked,
	// Identify, Rule, Allow and Logger are filled in. With Apps, each of both ports has half of the
	// connections.
	Port port.Config
	// Version of the program, human-readable.
	Version string
	// Logger receives what operators should know. Default: discard.
	Logger *slog.Logger
}

// Core is one control-plane process.
type Core struct {
	cfg  Config
	log  *slog.Logger
	self *ruedov1.Core

	listener   net.Listener // nil without a port
	port       *port.Server
	apps       *port.Server // for web applications
	appsAt     net.Listener // nil without a port
	doors      door.Doors
	store      *store.Store
	principals *principals.Principals
	trust      *trust.Trust
	audit      *audit.Audit
	mirror     *mirror.Mirror
	users      *users.Users
	login      *login.Login
	auth       *auth.Auth
	metrics    *telemetry.Metrics
	dispatcher *dispatch.Dispatcher
	catalog    *catalog.Catalog
	invoker    *invoke.Invoker
	lanes      *lane.Hub
	jobs       *jobs.Runner
	elector    *leader.Elector
	members    *members.Members
	peers      *peers.Peers
	cordons    *cordon.Cordons
	events     *events.Recorder
	migrated   []string // what was migrated before there were events
	calls      callRate

	draining atomic.Bool // the core is going down

	// down ends when the core shuts down, and ends what would otherwise go on
	// forever.
	down context.Context
	stop context.CancelFunc
	// goroutines are the core's own.
	goroutines sync.WaitGroup
	// closers undo what was started, the last one first.
	closers []closer
}

// closer undoes what was started.
type closer struct {
	what string
	undo func(context.Context) error
}

// New opens the port and the store, and connects the parts of the core. Until
// Serve, the core serves nothing and no other process knows about it. Close
// undoes New.
func New(ctx context.Context, cfg Config) (*Core, error) {
	cfg = cfg.withDefaults()
	if !cfg.Distributed && cfg.Local == nil {
		return nil, errors.New("core: neither distributed execution nor a local runner")
	}
	c := &Core{cfg: cfg, log: cfg.Logger}
	c.down, c.stop = context.WithCancel(context.Background())
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Close(context.WithoutCancel(ctx)))
	}
	return c, nil
}

func (cfg Config) withDefaults() Config {
	cfg.Listen = cmp.Or(cfg.Listen, DefaultListen)
	cfg.Modules = cfg.Modules.WithDefaults()
	cfg.LeaseTTL = cmp.Or(cfg.LeaseTTL, DefaultLeaseTTL)
	cfg.Drain = cmp.Or(cfg.Drain, DefaultDrain)
	cfg.AnyPlacement = cfg.AnyPlacement || !cfg.Distributed
	cfg.MaxRunners = cmp.Or(cfg.MaxRunners, DefaultMaxRunners)
	cfg.BackupDir = cmp.Or(cfg.BackupDir, os.TempDir())
	if cfg.Steps == nil {
		cfg.Steps = format.Known()
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return cfg
}

// Handler returns a handler that serves everything that the core's port serves.
func (c *Core) Handler() http.Handler { return c.port.Handler() }

// Routes returns all routes of the core's port, with their bounds. Those of the port
// for web applications are among them.
func (c *Core) Routes() []port.Route { return c.port.Routes() }

// URL returns the URL at which this core is reached; "" if it has no port.
func (c *Core) URL() string { return c.cfg.URL }

// AppsURL returns the URL of the port for web applications; "" if there is none.
func (c *Core) AppsURL() string {
	if c.appsAt == nil {
		return ""
	}
	return c.cfg.scheme() + c.appsAt.Addr().String()
}

// ID returns the core's id in the cluster.
func (c *Core) ID() string { return c.self.GetId() }

// Serve serves the ports and joins the cluster. When ctx ends, it shuts down
// gracefully and returns nil if that succeeded.
func (c *Core) Serve(ctx context.Context) error {
	if c.listener == nil {
		<-ctx.Done()
		return nil
	}
	ended := c.serve()
	joined := c.join(ctx)
	if ctx.Err() != nil {
		joined = nil // told to stop while it was joining, which is no failure
	}
	if joined == nil {
		at := []any{"core", c.ID(), "cluster", c.cfg.Cluster, "url", c.URL()}
		if c.appsAt != nil {
			at = append(at, "apps", c.AppsURL())
		}
		c.log.Info("core is serving", at...)
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
		}
		c.log.Info("core is going down", "core", c.ID())
	}
	c.draining.Store(true)
	c.goroutines.Go(c.elector.Close) // another core leads while this one finishes its calls
	if joined == nil && c.cfg.ShutdownDelay > 0 {
		select {
		case err := <-ended:
			return err
		case <-time.After(c.cfg.ShutdownDelay):
		}
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Drain)
	defer cancel()
	return errors.Join(joined, c.closePorts(drain))
}

// Close leaves the cluster and releases what New acquired. Call it after Serve
// has returned. A part that does not stop before ctx ends is abandoned, and the
// error names it.
func (c *Core) Close(ctx context.Context) error {
	c.stop()
	var errs []error
	for _, part := range slices.Backward(c.closers) {
		errs = append(errs, inflight.Within(ctx, part.what, part.undo))
	}
	c.closers = nil
	return errors.Join(errs...)
}
