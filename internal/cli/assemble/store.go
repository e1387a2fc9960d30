package assemble

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/datadir"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/membership"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/loopback"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// dataDir is where the embedded etcd keeps its files.
func (a *Assembler) dataDir() string {
	if dir := a.Settings.Store.DataDir; dir != "" {
		return dir
	}
	return filepath.Join(a.Settings.Application.WorkingDir, "store")
}

// backupDir is where a core keeps the backup that a migration of its store begins
// with.
func (a *Assembler) backupDir() string {
	if len(a.Settings.Store.EtcdHosts) > 0 {
		return filepath.Join(a.Settings.Application.WorkingDir, "backups")
	}
	return filepath.Join(a.dataDir(), "backups")
}

// HasStore reports whether mode local has a store already: an etcd that the
// settings name, or the data directory of an embedded one. A directory that
// cannot be looked into counts, so that opening it says why.
func (a *Assembler) HasStore() bool {
	return len(a.Settings.Store.EtcdHosts) > 0 || datadir.Exists(a.dataDir())
}

// openStore returns how to reach the store. If the settings name none, it starts
// an embedded one. others are the settings for its other members, nil if it has
// none.
func (a *Assembler) openStore(ctx context.Context, dir string, log *slog.Logger, others *peers.Config) (store.Config, error) {
	s := a.Settings.Store
	if len(s.EtcdHosts) > 0 {
		tlsConfig, err := etcdTLS(s, log)
		if err != nil {
			return store.Config{}, err
		}
		if far := slices.DeleteFunc(slices.Clone(s.EtcdHosts), loopback.Is); tlsConfig == nil && len(far) > 0 {
			log.Warn("the store is reached without TLS: who is on the way to it can read and change everything", "hosts", far, "setting", "store.etcd_use_tls")
		}
		login, err := etcdLogin(s)
		return store.Config{Hosts: s.EtcdHosts, TLS: tlsConfig, Login: login, AcceptEmpty: s.AcceptEmpty}, err
	}
	st, err := a.embed(ctx, dir, log, others)
	st.AcceptEmpty = s.AcceptEmpty
	return st, err
}

// quotaHeadroom is what etcd gets beyond the quota, so that members are listed and
// leases are granted in a store that is full for users.
const quotaHeadroom = 64 << 20

// embed starts an embedded store and returns how to reach it.
func (a *Assembler) embed(ctx context.Context, dir string, log *slog.Logger, others *peers.Config) (store.Config, error) {
	cfg := etcdembed.Config{Dir: dir, Peers: others, Logger: log}
	if quota := int64(a.Settings.Store.Quota) << 20; quota > 0 {
		cfg.FullBytes, cfg.QuotaBytes = quota, quota+quotaHeadroom
	}
	if others != nil {
		cfg.StartTimeout = a.Settings.Store.StartTimeout // it waits for them
	}
	srv, err := etcdembed.Start(ctx, cfg)
	if err != nil {
		return store.Config{}, err
	}
	a.onClose("the embedded store", srv.Close)
	a.member = membership.New(membership.Config{Client: srv.Client(), Peers: others, QuotaBytes: cfg.FullBytes, Check: srv.Check})
	return store.Config{Client: srv.Client(), Check: srv.Check, Quota: srv.Quota}, nil
}

// etcdTLS reads the certificates for etcd. The one that is shown to etcd is read again
// when its files change. It returns nil if TLS is off.
func etcdTLS(s settings.Store, log *slog.Logger) (*tls.Config, error) {
	if !s.EtcdUseTLS {
		if s.EtcdCAFile != "" || s.EtcdCertFile != "" || s.EtcdKeyFile != "" {
			return nil, fault.New(fault.ConfigInvalid, "certificates for etcd are set, but TLS is off").WithFix("RUEDO_STORE_ETCD_USE_TLS=true")
		}
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.EtcdCAFile != "" {
		pem, err := os.ReadFile(s.EtcdCAFile)
		if err != nil {
			return nil, fault.Wrap(err, fault.ConfigInvalid, "store.etcd_ca_certificate_file %s cannot be read: %s", s.EtcdCAFile, text.Cause(err))
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fault.New(fault.ConfigInvalid, "store.etcd_ca_certificate_file %s contains no PEM certificate", s.EtcdCAFile)
		}
	}
	if (s.EtcdCertFile == "") != (s.EtcdKeyFile == "") {
		return nil, fault.New(fault.ConfigInvalid, "store.etcd_certificate_file and store.etcd_private_key_file must be set together")
	}
	if s.EtcdCertFile != "" {
		pair, err := pki.LoadPair(pki.FilesConfig{What: "the client certificate for etcd", CertificateFile: s.EtcdCertFile, PrivateKeyFile: s.EtcdKeyFile, Logger: log})
		if err != nil {
			return nil, err
		}
		c.GetClientCertificate = pair.ClientCertificate
	}
	return c, nil
}

// etcdLogin reads the password for etcd.
func etcdLogin(s settings.Store) (fleet.Login, error) {
	if s.EtcdUser == "" && s.EtcdPassword == "" {
		return fleet.Login{}, nil
	}
	if s.EtcdUser == "" || s.EtcdPassword == "" {
		return fleet.Login{}, fault.New(fault.ConfigInvalid, "store.etcd_username and store.etcd_password_file must be set together")
	}
	data, err := os.ReadFile(s.EtcdPassword)
	if err != nil {
		return fleet.Login{}, fault.Wrap(err, fault.ConfigInvalid, "store.etcd_password_file %s cannot be read: %s", s.EtcdPassword, text.Cause(err))
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" {
		return fleet.Login{}, fault.New(fault.ConfigInvalid, "store.etcd_password_file %s is empty", s.EtcdPassword)
	}
	return fleet.Login{User: s.EtcdUser, Password: password}, nil
}

// patiently repeats try while it fails with STORE_UNAVAILABLE, and gives up
// after store.start_timeout. The first attempt is not cut short then, because it
// finds out what is wrong.
func (a *Assembler) patiently(ctx context.Context, log *slog.Logger, try func(context.Context) error) error {
	limit := a.Settings.Store.StartTimeout
	start := time.Now()
	deadline, cancel := context.WithDeadline(ctx, start.Add(limit))
	defer cancel()
	retry := backoff.Backoff{Base: 250 * time.Millisecond, Max: 5 * time.Second}
	var failed error
	for attempt := ctx; ; attempt = deadline {
		err := try(attempt)
		unavailable := errors.Is(err, fault.StoreUnavailable)
		switch {
		case unavailable && (failed == nil || deadline.Err() == nil):
			failed = err
		case failed != nil && deadline.Err() != nil && ctx.Err() == nil && (unavailable || errors.Is(err, context.DeadlineExceeded)):
			// It was cut short, and says less than the one before.
		default:
			return err
		}
		wait, left := retry.Next(), limit-time.Since(start)
		if left <= wait {
			e := *fault.FromError(failed)
			e.Message += " (gave up after " + time.Since(start).Round(100*time.Millisecond).String() + ")"
			return &e
		}
		log.Warn("the store does not answer yet, trying again", "in", wait.Round(time.Millisecond), "left", left.Round(time.Second), "error", err)
		select {
		case <-time.After(wait):
		case <-deadline.Done():
			return context.Cause(ctx)
		}
	}
}
