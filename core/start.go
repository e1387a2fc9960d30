package core

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/auth"
	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/collect"
	"github.com/ruedo-dev/ruedo/core/cordon"
	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/events"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/leader"
	"github.com/ruedo-dev/ruedo/core/local"
	"github.com/ruedo-dev/ruedo/core/members"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/peers"
	"github.com/ruedo-dev/ruedo/core/store"
	ring "github.com/ruedo-dev/ruedo/core/store/events"
	"github.com/ruedo-dev/ruedo/core/upkeep"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/telemetry"
)

// onClose makes Close call undo, before it undoes everything that was started
// earlier. what names the part in the error if undo does not return.
func (c *Core) onClose(what string, undo func(context.Context) error) {
	c.closers = append(c.closers, closer{what, undo})
}

// start creates the parts of a core, each after those that it needs, and
// registers how to close each of them. If one cannot be created, Close closes
// those before it.
func (c *Core) start(ctx context.Context) (err error) {
	// The port comes first, because it is the most likely part to fail.
	if c.cfg.Listen != "-" {
		if c.listener, err = port.Listen(c.cfg.Listen); err != nil {
			return err
		}
		c.onClose("the listener", func(context.Context) error {
			_ = c.listener.Close() // closed already if Serve ran
			return nil
		})
		if err := c.listenForApps(); err != nil {
			return err
		}
	}
	c.self = describe(c.cfg)

	st := c.cfg.Store
	st.Cluster, st.Logger, st.MaxModule, st.Migrate = c.cfg.Cluster, c.log, c.cfg.Modules.Size, c.migrate
	st.AuditKey = c.auditKey
	if c.store, err = store.Open(ctx, st); err != nil {
		return err
	}
	c.onClose("the client of the store", func(context.Context) error { return c.store.Close() })

	if err := c.openTrust(ctx); err != nil {
		return err
	}
	c.settleURL()

	if c.mirror, err = mirror.Open(ctx, mirror.Config{Store: c.store, Logger: c.log}); err != nil {
		return err
	}
	c.onClose("the mirror of the store", func(context.Context) error { return c.mirror.Close() })

	c.trust.Follow(c.mirror)
	if err := c.openDoors(); err != nil {
		return err
	}

	c.metrics = telemetry.New(c.readyRunners, c.alarms)
	c.metrics.WatchStuck(c.mirror.Stuck)

	c.openAudit()
	c.auth = auth.New(auth.Config{
		Mirror: c.mirror, Cluster: c.cfg.Cluster, Missing: c.missing, Key: c.trust.CoreKey, MaxStale: c.cfg.MaxStale, Denied: c.denied, Logger: c.log,
	})
	c.onClose("what watches over streams", func(context.Context) error { c.auth.Close(); return nil })
	if err := c.openLogin(ctx); err != nil {
		return err
	}

	c.events = events.New(events.Config{
		Ring: ring.New(c.store.Cluster(), c.store.Guard()), Core: c.ID(), Observe: c.metrics.Event, Logger: c.log,
	})
	c.onClose("the recorder of events", func(context.Context) error { c.events.Close(); return nil })
	c.recordMigrations()

	c.dispatcher = dispatch.New(dispatch.Config{
		Zone: c.cfg.Zone, AnyPlacement: c.cfg.AnyPlacement, Ejected: c.recordEjected, Readmitted: c.recordReadmitted, Unprepared: c.recordUnprepared, Logger: c.log,
	})
	c.metrics.OutOfService(dispatch.Causes(), c.outOfService)
	c.onClose("the dispatcher", func(context.Context) error { c.dispatcher.Close(); return nil })

	c.catalog = catalog.New(catalog.Config{
		Mirror: c.mirror, Plan: c.dispatcher.Plan, Revision: c.store.Revision, Logger: c.log,
		Counter: func(service string) catalog.Counter { return c.metrics.Service(service) }, Forget: c.metrics.Forget,
	})
	c.catalog.Start()
	c.onClose("the catalog", func(context.Context) error { c.catalog.Close(); return nil })
	c.invoker = invoke.New(invoke.Config{Catalog: c.catalog, Check: c.auth.Check, Follow: c.auth.FollowCall, MaxWait: c.cfg.QueueTimeout, Observe: c.observe})

	c.onClose("the preparation of plans", func(context.Context) error { c.goroutines.Wait(); return nil })
	c.goroutines.Go(c.followPlans)
	c.goroutines.Go(func() { c.calls.run(c.down) })
	c.goroutines.Go(func() { c.recordAlarms(c.down) })

	source := newSource(c.catalog, c.store)
	if !c.cfg.Distributed {
		c.dispatcher.Add(local.New(c.cfg.Local, source))
	}

	c.peers = peers.New(peers.Config{Cluster: c.cfg.Cluster, Self: c.ID(), Token: c.peerToken, TLS: c.peerTLS()})
	c.onClose("the requests to other cores", func(context.Context) error { c.peers.Close(); return nil })
	c.members = members.New(members.Config{
		Keeper: c.cfg.Member, Self: c.self, Peers: c.peers, Cores: func() map[string]*ruedov1.Core { return c.mirror.Snapshot().Cores },
	})

	list := append(collect.Jobs(c.store, c.cfg.Collect), c.users.Job(), c.audit.Job())
	if c.cfg.Member != nil {
		list = append(list, upkeep.Job(c.members, cmp.Or(c.cfg.Collect.Interval, collect.DefaultInterval)))
	}
	c.jobs = jobs.New(jobs.Config{Store: c.store, Core: c.self.GetId(), Jobs: list, Observe: c.metrics.Job, Logger: c.log})
	c.elector = leader.New(leader.Config{
		Store: c.store, Mirror: c.mirror, Self: c.self, Fit: c.fit, Lead: c.lead, TTL: c.cfg.LeaseTTL, Logger: c.log,
	})
	c.metrics.Leads(c.elector.Leads)
	c.metrics.Store(c.storeFigures)
	c.metrics.Runners(c.runnerFigures)

	c.cordons = cordon.New(cordon.Config{
		Store: c.store, Mirror: c.mirror, Dispatcher: c.dispatcher, Peers: c.peers, Self: c.ID(),
		Leads: c.elector.Leads, Record: c.events.Record, Logger: c.log,
	})
	c.cordons.Start()
	c.onClose("what follows the cordons", func(context.Context) error { c.cordons.Close(); return nil })

	c.port = port.New(c.portConfig())
	c.onClose("the port", c.port.Close)
	c.apps = port.New(c.portConfig())
	c.onClose("the port for web applications", c.apps.Close)

	c.lanes = lane.NewHub(lane.HubConfig{
		Core: c.self, Cluster: c.cfg.Cluster, Source: source, Admit: c.admit, OnAttach: c.attach, Refused: port.Count, Logger: c.log,
		// Each runner attaches to each core. Some lanes more are for runners that
		// come back before their old lane has ended.
		MaxLanes: c.cfg.MaxRunners + c.cfg.MaxRunners/4 + 1, MaxLanesPerAddress: c.cfg.MaxLanesPerAddress,
	})
	c.onClose("the lanes", c.lanes.Close)

	c.mount()
	return nil
}

// observe counts a completed call.
func (c *Core) observe(of *catalog.Entry, outcome fault.Reason, took time.Duration, info *ruedov1.CallInfo) {
	c.calls.total.Add(1)
	of.Count(outcome, took, info)
}

func describe(cfg Config) *ruedov1.Core {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	self := &ruedov1.Core{Id: "core-" + shortID(), Host: host, Url: cfg.URL, Version: cfg.Version, StartTime: timestamppb.Now(), Zone: cfg.Zone}
	if cfg.Member != nil {
		self.StoreMember = cfg.Member.Name()
	}
	return self
}

// shortID returns the random end of a ULID: enough to tell processes apart.
func shortID() string {
	id := ulid.Make().String()
	return strings.ToLower(id[len(id)-8:])
}

// join lists this core in the cluster, so that runners and other cores find it.
// From then on it can lead.
func (c *Core) join(ctx context.Context) error {
	entry, err := c.store.Cluster().RegisterCore(ctx, c.self, c.cfg.LeaseTTL)
	if err != nil {
		return err
	}
	c.onClose("the entry of this core in the store", func(ctx context.Context) error { return c.leave(ctx, entry) })
	c.elector.Start()
	c.onClose("what the leader does", func(context.Context) error { c.elector.Close(); return nil })
	return nil
}

// fit returns why this core cannot lead, nil if it can: the leader writes, and
// decides by what its mirror shows.
func (c *Core) fit() error {
	switch {
	case c.draining.Load():
		return errors.New("this core is going down")
	case c.mirror.Stale():
		return errors.New("the store does not answer this core")
	case c.mirror.Behind() > maxBehind:
		return errors.New("this core shows an older catalog than the store")
	}
	return c.store.Guard().Refusal()
}

// leave removes this core from the cluster's list. That it cannot be removed now is
// no failure: it disappears when its lease ends.
func (c *Core) leave(ctx context.Context, entry *fleet.Membership) error {
	if c.store.Cluster().Check() != nil {
		// The store must not write to a full disk.
		gone, cancel := context.WithCancel(ctx)
		cancel()
		ctx = gone
	}
	if err := entry.Close(ctx); err != nil {
		c.log.Warn("this core stays listed until its lease ends", "core", c.ID(), "error", err)
	}
	return nil
}
