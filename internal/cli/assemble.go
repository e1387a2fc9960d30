package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wire"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// dataDir is where the embedded etcd keeps its files.
func (a *app) dataDir() string {
	if dir := a.settings.Store.DataDir; dir != "" {
		return dir
	}
	return filepath.Join(a.settings.Application.WorkingDir, "store")
}

// openStore says where the store is, after it started one if none is named.
// The context that it gives ends when the embedded store fails.
func (a *app) openStore(ctx context.Context, dir string, log *slog.Logger) (context.Context, store.Config, error) {
	s := a.settings.Store
	if len(s.EtcdHosts) > 0 {
		tlsConfig, err := etcdTLS(s)
		return ctx, store.Config{Hosts: s.EtcdHosts, TLS: tlsConfig}, err
	}
	srv, err := etcdembed.Start(ctx, etcdembed.Config{Dir: dir, Logger: log})
	if err != nil {
		return ctx, store.Config{}, err
	}
	a.later(srv.Close)
	ctx, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-srv.Failed():
			cancel(fault.New(fault.StoreUnavailable, "the embedded store failed; see the log"))
		case <-ctx.Done():
		}
	}()
	a.later(func() error { cancel(nil); <-over; return nil })
	return ctx, store.Config{Client: srv.Client()}, nil
}

// etcdTLS reads the certificates for etcd; nil where TLS is off.
func etcdTLS(s settings.Store) (*tls.Config, error) {
	if !s.EtcdUseTLS {
		if s.EtcdCAFile != "" || s.EtcdCertFile != "" || s.EtcdKeyFile != "" {
			return nil, fault.New(fault.ConfigInvalid, "certificates for etcd are named, but TLS is off").WithFix("RUEDO_STORE_ETCD_USE_TLS=true")
		}
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.EtcdCAFile != "" {
		pem, err := os.ReadFile(s.EtcdCAFile)
		if err != nil {
			return nil, fileError(err, "cannot read store.etcd_ca_certificate_file", s.EtcdCAFile)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fault.New(fault.ConfigInvalid, "store.etcd_ca_certificate_file %s holds no certificate in PEM", s.EtcdCAFile)
		}
	}
	if (s.EtcdCertFile == "") != (s.EtcdKeyFile == "") {
		return nil, fault.New(fault.ConfigInvalid, "store.etcd_certificate_file and store.etcd_private_key_file go together")
	}
	if s.EtcdCertFile != "" {
		pair, err := tls.LoadX509KeyPair(s.EtcdCertFile, s.EtcdKeyFile)
		if err != nil {
			return nil, fault.Wrap(err, fault.ConfigInvalid, "the client certificate for etcd cannot be used: %s", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// patiently tries again what fails for a store that is not there yet, and gives
// up after store.start_timeout.
func (a *app) patiently(ctx context.Context, log *slog.Logger, try func(context.Context) error) error {
	limit := a.settings.Store.StartTimeout
	start := time.Now()
	deadline, cancel := context.WithDeadline(ctx, start.Add(limit))
	defer cancel()
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := try(ctx)
		if err == nil || !errors.Is(err, fault.StoreUnavailable) {
			return err
		}
		left := limit - time.Since(start)
		if left <= wait {
			e := *fault.Of(err)
			e.Message += " (gave up after " + time.Since(start).Round(100*time.Millisecond).String() + ")"
			return &e
		}
		log.Warn("the store does not answer yet, trying again", "in", wait, "left", left.Round(time.Second), "error", err)
		select {
		case <-time.After(wait):
		case <-deadline.Done():
			return context.Cause(ctx)
		}
	}
}

// listenAddress is where a core listens; beyond this machine only if that was
// asked for loudly, since nobody is asked who they are.
func (a *app) listenAddress() (string, error) {
	s := a.settings.Server
	addr := net.JoinHostPort(s.ListenAddress, strconv.Itoa(s.Port))
	if wire.Loopback(addr) {
		return addr, nil
	}
	if !s.InsecureListen {
		return "", fault.New(fault.ConfigInvalid, "listening on %s is refused: others reach it, and there is neither TLS nor a login; whoever reaches it owns the cluster", addr).
			WithFix("listen on 127.0.0.1, or say --insecure-listen if the network is yours alone")
	}
	a.talk("WARNING: listening on %s without TLS or login. Whoever reaches it owns the cluster.", addr)
	return addr, nil
}

// advertised is the URL that others are told; "" lets the core make it of the
// address that it listens on.
func (a *app) advertised() string {
	s := a.settings.Server
	if s.AdvertiseURL != "" {
		return coreURL(s.AdvertiseURL, s.Port)
	}
	if ip := net.ParseIP(s.ListenAddress); ip != nil && ip.IsUnspecified() && s.Port != 0 {
		// "every address" is none that others could dial.
		if host, err := os.Hostname(); err == nil {
			return coreURL(host, s.Port)
		}
	}
	return ""
}

// newRunner makes a runner as the settings say; change adds the rest.
func (a *app) newRunner(ctx context.Context, log *slog.Logger, change func(*runner.Config)) (*runner.Runner, error) {
	s := a.settings.Runner
	compiler, err := sandbox.CompilerCommand(compilerArg)
	if err != nil {
		return nil, err
	}
	cfg := runner.Config{
		Name:        s.Name,
		Host:        s.AnnouncementAddress,
		Version:     version(),
		Cluster:     a.settings.Application.ClusterID,
		Concurrency: s.Concurrency,
		Queue:       s.Queue,
		CacheDir:    a.cacheDir(),
		Compiler:    compiler,
		Logger:      log,
	}
	if change != nil {
		change(&cfg)
	}
	r, err := runner.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	a.later(func() error { return closeWithin(r.Close) })
	return r, nil
}

// newCore makes a core on the store; change adds the rest.
func (a *app) newCore(ctx context.Context, log *slog.Logger, st store.Config, change func(*core.Config)) (*core.Core, error) {
	cfg := core.Config{
		Cluster: a.settings.Application.ClusterID,
		Store:   st,
		Version: version(),
		Logger:  log,
	}
	change(&cfg)
	var c *core.Core
	err := a.patiently(ctx, log, func(ctx context.Context) (err error) {
		c, err = core.New(ctx, cfg)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.later(func() error { return closeWithin(c.Close) })
	return c, nil
}

// closeWithin bounds what leaving may take: a store that is gone must not hold
// the process.
func closeWithin(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return f(ctx)
}

// cacheDir is the folder for modules and compiled code, or "" where the user
// has no place for it: a temporary one then.
func (a *app) cacheDir() string {
	if a.settings.Runner.CacheDir != "" {
		return a.settings.Runner.CacheDir
	}
	base := a.getenv("XDG_CACHE_HOME")
	if base == "" {
		if home := a.getenv("HOME"); home != "" {
			base = filepath.Join(home, ".cache")
		}
	}
	if base == "" {
		return ""
	}
	dir := filepath.Join(base, "ruedo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	return dir
}
