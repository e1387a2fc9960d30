package assemble

import (
	"crypto/x509"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// secureEtcd starts an etcd that speaks TLS, and returns its host:port. With clients
// set, it asks for certificates of that authority.
func secureEtcd(t *testing.T, own, clients *pki.Authority) string {
	t.Helper()
	anywhere := []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
	cfg := embed.NewConfig()
	cfg.Dir = t.TempDir()
	cfg.UnsafeNoFsync = true
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = anywhere, anywhere
	peers := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = peers, peers
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	files := pkitest.NewPair(t, own, pkitest.ForHost("etcd"))
	cfg.ClientTLSInfo = transport.TLSInfo{CertFile: files.Cert, KeyFile: files.Key}
	if clients != nil {
		cfg.ClientTLSInfo.TrustedCAFile, cfg.ClientTLSInfo.ClientCertAuth = pkitest.CAFile(t, clients), true
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd does not start")
	}
	return e.Clients[0].Addr().String()
}

// open opens a store as a core does.
func open(t *testing.T, s settings.Store) error {
	t.Helper()
	a := &Assembler{Settings: &settings.Resolved{}}
	a.Settings.Store = s
	cfg, err := a.openStore(t.Context(), "", slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	cfg.Cluster, cfg.OpTimeout = "c", 2*time.Second
	st, err := store.Open(t.Context(), cfg)
	if err != nil {
		return err
	}
	return st.Close()
}

func TestAnEtcdThatSpeaksTLS(t *testing.T) {
	own, users, stranger := pkitest.NewAuthority(t), pkitest.NewAuthority(t), pkitest.NewAuthority(t)
	ca, files := pkitest.CAFile(t, own), pkitest.NewPair(t, users, pkitest.ForHost("core-1"))
	foreign := pkitest.NewPair(t, stranger, pkitest.ForHost("core-1"))
	past := pkitest.ForHost("core-1")
	past.NotBefore, past.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	expired := pkitest.NewPair(t, users, past)
	serverOnly := pkitest.ForHost("core-1")
	serverOnly.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	notForClients := pkitest.NewPair(t, users, serverOnly)
	relaxed, strict := secureEtcd(t, own, nil), secureEtcd(t, own, users)
	for name, c := range map[string]struct {
		settings settings.Store
		reason   fault.Reason // "" succeeds
		want     string
	}{
		"TLS":                          {settings.Store{EtcdHosts: []string{relaxed}, EtcdUseTLS: true, EtcdCAFile: ca}, "", ""},
		"TLS and a certificate":        {settings.Store{EtcdHosts: []string{strict}, EtcdUseTLS: true, EtcdCAFile: ca, EtcdCertFile: files.Cert, EtcdKeyFile: files.Key}, "", ""},
		"one that nobody asked for":    {settings.Store{EtcdHosts: []string{relaxed}, EtcdUseTLS: true, EtcdCAFile: ca, EtcdCertFile: foreign.Cert, EtcdKeyFile: foreign.Key}, "", ""},
		"no TLS":                       {settings.Store{EtcdHosts: []string{relaxed}}, fault.StoreUnavailable, "it requires TLS"},
		"another authority":            {settings.Store{EtcdHosts: []string{relaxed}, EtcdUseTLS: true, EtcdCAFile: pkitest.CAFile(t, stranger)}, fault.StoreUnavailable, "certificate signed by unknown authority"},
		"the system's authorities":     {settings.Store{EtcdHosts: []string{relaxed}, EtcdUseTLS: true}, fault.StoreUnavailable, "certificate signed by unknown authority"},
		"no certificate":               {settings.Store{EtcdHosts: []string{strict}, EtcdUseTLS: true, EtcdCAFile: ca}, fault.StoreUnavailable, "it refused the TLS connection"},
		"a certificate of a stranger":  {settings.Store{EtcdHosts: []string{strict}, EtcdUseTLS: true, EtcdCAFile: ca, EtcdCertFile: foreign.Cert, EtcdKeyFile: foreign.Key}, fault.StoreUnavailable, "it refused the TLS connection"},
		"a certificate that ran out":   {settings.Store{EtcdHosts: []string{strict}, EtcdUseTLS: true, EtcdCAFile: ca, EtcdCertFile: expired.Cert, EtcdKeyFile: expired.Key}, fault.StoreUnavailable, "it refused the TLS connection"},
		"a certificate for servers":    {settings.Store{EtcdHosts: []string{strict}, EtcdUseTLS: true, EtcdCAFile: ca, EtcdCertFile: notForClients.Cert, EtcdKeyFile: notForClients.Key}, fault.StoreUnavailable, "it refused the TLS connection"},
		"a key of something else":      {settings.Store{EtcdHosts: []string{strict}, EtcdUseTLS: true, EtcdCAFile: ca, EtcdCertFile: files.Cert, EtcdKeyFile: foreign.Key}, fault.ConfigInvalid, "the client certificate for etcd cannot be used"},
		"a certificate without a key":  {settings.Store{EtcdHosts: []string{strict}, EtcdUseTLS: true, EtcdCertFile: files.Cert}, fault.ConfigInvalid, "must be set together"},
		"certificates without TLS":     {settings.Store{EtcdHosts: []string{strict}, EtcdCAFile: ca}, fault.ConfigInvalid, "certificates for etcd are set, but TLS is off"},
		"an authority that is no file": {settings.Store{EtcdHosts: []string{strict}, EtcdUseTLS: true, EtcdCAFile: files.Key}, fault.ConfigInvalid, "contains no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := open(t, c.settings)
			if c.reason == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			testkit.WantReason(t, err, c.reason, c.want)
		})
	}
}

// The certificate that is shown to etcd can be replaced while a core runs: each
// handshake takes the one that is there.
func TestTheCertificateForEtcdIsReadInTheHandshake(t *testing.T) {
	a := pkitest.NewAuthority(t)
	files := pkitest.NewPair(t, a, pkitest.ForHost("core-1"))
	cfg, err := etcdTLS(settings.Store{EtcdUseTLS: true, EtcdCertFile: files.Cert, EtcdKeyFile: files.Key}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cfg.GetClientCertificate(nil); err != nil || len(got.Certificate) != 1 || len(cfg.Certificates) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAnEtcdWithoutTLSElsewhereIsWarnedOf(t *testing.T) {
	for hosts, want := range map[string]bool{"127.0.0.1:2379 [::1]:2379": false, "127.0.0.1:2379 10.0.0.7:2379": true} {
		var log testkit.Log
		a := &Assembler{Settings: &settings.Resolved{}}
		a.Settings.Store.EtcdHosts = strings.Fields(hosts)
		if _, err := a.openStore(t.Context(), "", log.Logger(), nil); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "level=WARN"); got != want || got && !strings.Contains(log.String(), "hosts=[10.0.0.7:2379]") {
			t.Errorf("%s: %s", hosts, log.String())
		}
	}
}
