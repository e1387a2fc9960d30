// Package assemble puts the processes of Ruedo together. It is the one place
// that knows how store, core and runner fit; the parts do not know it.
//
//	a := &assemble.Assembler{Settings: settings, Version: version}
//	defer a.Close()
//	err := a.Server(ctx, log)
//
// [Assembler.Server] and [Assembler.Runner] run one process of a cluster,
// [Assembler.Cluster] a whole cluster in this process, and [Assembler.Local] one
// that has no port and lasts as long as a command.
package assemble

import (
	"context"
	"log/slog"
	"time"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/collect"
	"github.com/ruedo-dev/ruedo/core/local"
	"github.com/ruedo-dev/ruedo/core/members"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/port/origins"
	"github.com/ruedo-dev/ruedo/internal/port/proxies"
	"github.com/ruedo-dev/ruedo/runner"
)

// Assembler makes processes as its settings say. It is used from one goroutine;
// what it made is closed by Close.
type Assembler struct {
	Settings *settings.Resolved
	// CacheDir keeps modules and compiled code of runners; "" means a temporary
	// directory.
	CacheDir string
	// Compiler starts the process that compiles modules; see runner.Config.
	Compiler []string
	// Hasher starts the process that hashes passwords; see core.Login.
	Hasher []string
	// Version of the program, to be shown.
	Version string
	// Getenv returns the value of an environment variable, or "". Nil knows none.
	Getenv func(name string) string
	// Calls receives a line for each call that succeeded. Nil: the logger of the rest.
	Calls *slog.Logger
	// Infof prints a message for the user; nil prints nothing.
	Infof func(format string, args ...any)

	closers []closer
	member  members.Keeper // of the embedded store; nil if there is none
}

func (a *Assembler) infof(format string, args ...any) {
	if a.Infof != nil {
		a.Infof(format, args...)
	}
}

// Server runs a core until ctx ends, then drains it. It returns
// STORE_UNAVAILABLE if the store does not answer within store.start_timeout. An
// embedded store that fails later does not end the core: calls continue from memory.
func (a *Assembler) Server(ctx context.Context, log *slog.Logger) error {
	addr, apps := a.listenAddress(), a.Settings.Server.AppsListen
	by, err := a.entrance(addr, true, log)
	if err != nil {
		return err
	}
	others, err := a.peers(ctx, log)
	if err != nil {
		return err
	}
	if err := free(addr, apps); err != nil {
		return err
	}
	st, err := a.openStore(ctx, a.dataDir(), log, others)
	if err != nil {
		return err
	}
	distributed := a.Settings.Server.DistributedExecution
	var inside local.Runner
	belongs := func(string) {}
	if !distributed {
		r, err := a.newRunner(ctx, log, nil)
		if err != nil {
			return err
		}
		inside, belongs = r, func(core string) { r.DenyCores([]string{core}) }
	}
	srv, err := a.newCore(ctx, log, st, func(cfg *core.Config) {
		cfg.Listen, cfg.URL, cfg.Apps = addr, a.advertised(), apps
		cfg.Distributed, cfg.Local = distributed, inside
		cfg.Login, cfg.TLS, cfg.Socket = by.Login, by.TLS, by.Socket
	})
	if err != nil {
		return err
	}
	belongs(srv.URL())
	return serve(ctx, "the core", a.Settings.Server.ShutdownDelay, srv.Serve)
}

// Runner runs a runner until ctx ends, then drains it.
func (a *Assembler) Runner(ctx context.Context, log *slog.Logger) error {
	s := a.Settings
	if len(s.Runner.Cores) == 0 && len(s.Store.EtcdHosts) == 0 {
		return fault.New(fault.ConfigInvalid, "the runner has no core to attach to: neither cores nor etcd hosts are set").
			WithFix("ruedo runner --cores http://127.0.0.1:7833, or set RUEDO_STORE_ETCD_HOSTS")
	}
	var directory runner.Directory
	if len(s.Store.EtcdHosts) > 0 {
		tlsConfig, err := etcdTLS(s.Store, log)
		if err != nil {
			return err
		}
		login, err := etcdLogin(s.Store)
		if err != nil {
			return err
		}
		err = a.patiently(ctx, log, func(ctx context.Context) error {
			d, err := fleet.Dial(ctx, fleet.DirectoryConfig{Hosts: s.Store.EtcdHosts, TLS: tlsConfig, Login: login, Cluster: s.Application.ClusterID, Logger: log})
			if err != nil {
				return err
			}
			directory = d
			a.onClose("the directory of cores", d.Close)
			return nil
		})
		if err != nil {
			return err
		}
	}
	known, err := a.access()
	if err != nil {
		return err
	}
	r, err := a.newRunner(ctx, log, func(cfg *runner.Config) {
		cfg.Access = known.runner
		for _, url := range s.Runner.Cores {
			cfg.Cores = append(cfg.Cores, URL(url, s.Client.Port))
		}
		cfg.Directory = directory
	})
	if err != nil {
		return err
	}
	return serve(ctx, "the runner", 0, r.Serve)
}

// newRunner makes a runner from the settings; change sets the other fields.
func (a *Assembler) newRunner(ctx context.Context, log *slog.Logger, change func(*runner.Config)) (*runner.Runner, error) {
	s := a.Settings.Runner
	set, err := labels.Parse(s.Labels)
	if err != nil {
		return nil, err
	}
	outbound, err := a.egress()
	if err != nil {
		return nil, err
	}
	cfg := runner.Config{
		Egress:       outbound,
		ID:           s.ID,
		Name:         s.Name,
		Host:         s.AnnouncementAddress,
		Labels:       set,
		Version:      a.Version,
		Cluster:      a.Settings.Application.ClusterID,
		Concurrency:  s.Concurrency,
		Queue:        s.Queue,
		Streams:      s.Streams,
		CacheDir:     a.CacheDir,
		CacheBytes:   int64(s.CacheSize) << 20,
		ModuleRate:   int64(s.ModuleRate) << 10,
		MaxPlanBytes: int64(s.PlanMemory) << 20,
		Compiler:     a.Compiler,
		CompileTime:  s.CompileTime,
		Modules:      a.Settings.Module.Limits(),
		LogSuccesses: s.LogSuccesses,
		Logger:       log,
		Calls:        a.Calls,
	}
	if change != nil {
		change(&cfg)
	}
	r, err := runner.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	a.onClose("the runner", patient(r.Close))
	return r, nil
}

// farewell is how long a core that is going down serves the connections that are
// open. A client that calls more often than that learns in time that it has to
// go, and loses no request.
const farewell = 500 * time.Millisecond

// newCore makes a core on the store; change sets the other fields.
func (a *Assembler) newCore(ctx context.Context, log *slog.Logger, st store.Config, change func(*core.Config)) (*core.Core, error) {
	cfg := core.Config{
		Cluster: a.Settings.Application.ClusterID,
		Store:   st,
		Member:  a.member,
		Port: port.Config{
			Hosts:       a.Settings.Server.Hosts,
			Connections: a.Settings.Server.MaxConnections,
			Memory:      int64(a.Settings.Server.BufferMemory) << 20,
		},
		MaxRunners:         a.Settings.Server.MaxRunners,
		MaxLanesPerAddress: a.Settings.Server.MaxLanesPerAddress,

		Modules:       a.Settings.Module.Limits(),
		QueueTimeout:  a.Settings.Server.QueueTimeout,
		Zone:          a.Settings.Server.Zone,
		ShutdownDelay: a.Settings.Server.ShutdownDelay,
		Insecure:      a.Settings.Server.InsecureListen,
		Session:       a.Settings.Auth.Session,
		MaxStale:      a.Settings.Auth.MaxStale,
		AuditKeep:     a.Settings.Audit.Keep,
		Login:         core.Login{Seal: a.seal()},
		Farewell:      farewell,
		Collect:       a.collect(),
		BackupDir:     a.backupDir(),
		Version:       a.Version,
		Logger:        log,
	}
	var err error
	if cfg.Port.Proxies, err = proxies.Parse(a.Settings.Server.TrustedProxies); err != nil {
		return nil, err
	}
	if cfg.Port.Origins, err = origins.Parse(a.Settings.Server.Origins); err != nil {
		return nil, err
	}
	change(&cfg)
	var c *core.Core
	err = a.patiently(ctx, log, func(ctx context.Context) (err error) {
		c, err = core.New(ctx, cfg)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.onClose("the core", patient(c.Close))
	return c, nil
}

// collect returns what the leader keeps. A core takes the zero age for its
// default, which is not what a user means by 0s.
func (a *Assembler) collect() collect.Config {
	s := a.Settings.Collect
	if s.ModuleAge == 0 {
		s.ModuleAge = -1
	}
	return collect.Config{Interval: s.Interval, Revisions: s.Revisions, RevisionAge: s.RevisionAge, ModuleAge: s.ModuleAge}
}
