package pki_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// clock is a clock that a test sets.
type clock struct{ off atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.off.Load())) }

func (c *clock) set(off time.Duration) { c.off.Store(int64(off)) }

// core is a server with the TLS of a core, whose parts a test can replace.
type core struct {
	addr string
	cfg  atomic.Pointer[tls.Config]
}

func start(t *testing.T, cfg *tls.Config) *core {
	t.Helper()
	c := &core{}
	c.cfg.Store(cfg)
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	c.addr = l.Addr().String()
	server := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
	}
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(tls.NewListener(l, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			cfg := c.cfg.Load()
			if cfg.GetConfigForClient != nil {
				return cfg.GetConfigForClient(h)
			}
			return cfg, nil
		}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("not reached") }}))
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return c
}

// presents has the core show a certificate and what follows it.
func (c *core) presents(leaf pkitest.Leaf, rest ...[]byte) {
	c.cfg.Store(&tls.Config{Certificates: []tls.Certificate{{Certificate: append([][]byte{leaf.DER}, rest...), PrivateKey: leaf.Key}}})
}

// ask makes one request, and returns why it failed.
func (c *core) ask(cfg *tls.Config) error {
	transport := &http.Transport{TLSClientConfig: cfg}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("https://" + c.addr)
	if err != nil {
		return pki.Explain(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "hello" {
		return errors.New("it answers something else")
	}
	return nil
}

func leavesOf(t *testing.T, now func() time.Time, authorities ...*pki.Authority) *pki.Leaves {
	t.Helper()
	l, err := pki.NewLeaves(pki.LeavesConfig{Authorities: func() []*pki.Authority { return authorities }, Core: "core-1", Names: []string{"127.0.0.1", "box.example.com", ""}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// startOf starts a core with certificates of these authorities, the newest first.
func startOf(t *testing.T, authorities ...*pki.Authority) *core {
	t.Helper()
	return start(t, pki.Server(pki.ServerConfig{Leaves: leavesOf(t, nil, authorities...)}))
}

var (
	coreLeaf   = x509.Certificate{DNSNames: []string{pki.NameCore}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	clientLeaf = x509.Certificate{DNSNames: []string{pki.NameCore}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
)

func trusting(found func(*x509.Certificate), authorities ...*pki.Authority) *tls.Config {
	var certs []*x509.Certificate
	for _, a := range authorities {
		certs = append(certs, a.Certificate())
	}
	return pki.Trusting(func() []*x509.Certificate { return certs }, found)
}

func TestAPinIsEnough(t *testing.T) {
	a := pkitest.NewAuthority(t)
	c := startOf(t, a)
	var found *x509.Certificate
	if err := c.ask(pki.Pinned(a.Pin(), func(c *x509.Certificate) { found = c })); err != nil || !a.Certificate().Equal(found) {
		t.Fatalf("%v, found %v", err, found)
	}
	if len(a.Pin()) != 52 || strings.ToLower(a.Pin()) != a.Pin() {
		t.Error(a.Pin())
	}
	// What was found is enough from then on, also as a file for other programs.
	remembered := must(pki.ParsePEM([]byte(pki.PEM(found))))
	if err := c.ask(pki.Trusting(func() []*x509.Certificate { return remembered }, nil)); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(pki.PEM(found)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.ask(must(pki.CAFile(file))); err != nil {
		t.Error(err)
	}
}

// Somebody who can compare pins needs to see one.
func TestAnAuthorityIsOffered(t *testing.T) {
	old := pkitest.NewAuthority(t)
	next := must(old.Next(time.Now()))
	c := startOf(t, next, old)
	var found *x509.Certificate
	if err := c.ask(pki.Offered(func(c *x509.Certificate) { found = c })); err != nil || !next.Certificate().Equal(found) {
		t.Errorf("%v, found %v", err, found)
	}
	other := pkitest.NewAuthority(t)
	c.presents(pkitest.Issue(t, other, coreLeaf), next.Certificate().Raw)
	testkit.WantReason(t, c.ask(pki.Offered(func(*x509.Certificate) { t.Error("found one that has not signed the leaf") })), fault.PinMismatch)
}

// Whoever stands between a client and the core of its cluster is not believed.
func TestWhoIsNotBelieved(t *testing.T) {
	a, other := pkitest.NewAuthority(t), pkitest.NewAuthority(t)
	c := startOf(t, a)
	root := a.Certificate().Raw
	for name, attack := range map[string]func(){
		"another authority":                    func() { c.presents(pkitest.Issue(t, other, coreLeaf), other.Certificate().Raw) },
		"its own leaf with the true authority": func() { c.presents(pkitest.Issue(t, other, coreLeaf), root) },
		"both authorities":                     func() { c.presents(pkitest.Issue(t, other, coreLeaf), root, other.Certificate().Raw) },
		"the true authority as its own leaf":   func() { c.presents(pkitest.Issue(t, other, coreLeaf), root, root) },
		"nothing but a leaf":                   func() { c.presents(pkitest.Issue(t, other, coreLeaf)) },
		"a client's certificate":               func() { c.presents(pkitest.Issue(t, a, clientLeaf), root) },
		"a certificate for another name": func() {
			c.presents(pkitest.Issue(t, a, x509.Certificate{DNSNames: []string{"core.example.com"}}), root)
		},
		"a leaf signed by a leaf of the cluster": func() {
			leaf := pkitest.Issue(t, a, coreLeaf)
			c.presents(pkitest.Sign(t, must(x509.ParseCertificate(leaf.DER)), leaf.Key, coreLeaf), leaf.DER, root)
		},
	} {
		attack()
		for kind, cfg := range map[string]*tls.Config{"pin": pki.Pinned(a.Pin(), nil), "profile": trusting(nil, a)} {
			err := c.ask(cfg)
			if err == nil {
				t.Errorf("%s is believed by %s", name, kind)
				continue
			}
			testkit.WantReason(t, err, fault.PinMismatch, "not a core of the cluster that is meant")
		}
	}
	c.presents(pkitest.Issue(t, a, coreLeaf), root)
	if err := c.ask(pki.Pinned(a.Pin(), nil)); err != nil {
		t.Errorf("the core itself: %v", err)
	}
	// Nobody trusts nobody.
	testkit.WantReason(t, c.ask(pki.Pinned("", nil)), fault.PinMismatch)
	testkit.WantReason(t, c.ask(trusting(nil)), fault.PinMismatch)
}

// After a rotation, who trusts the authority before reaches the cluster, and learns
// the new one. Nothing has to be done in phases.
func TestAnAuthorityIsRotatedInOneStep(t *testing.T) {
	now := clock{}
	old := pkitest.NewAuthority(t)
	next := must(old.Next(time.Now()))
	stored := must(pki.Parse(next.Certificate().Raw, must(next.Key()), next.Bridge().Raw))
	c := start(t, pki.Server(pki.ServerConfig{Leaves: leavesOf(t, now.now, stored, old), Now: now.now}))
	clients := func(found func(*x509.Certificate)) map[string]*tls.Config {
		return map[string]*tls.Config{
			"old pin": pki.Pinned(old.Pin(), found), "new pin": pki.Pinned(next.Pin(), found),
			"old profile": trusting(found, old), "new profile": trusting(found, next),
		}
	}
	for name, cfg := range clients(nil) {
		var found *x509.Certificate
		cfg = clients(func(c *x509.Certificate) { found = c })[name]
		if err := c.ask(cfg); err != nil || !next.Certificate().Equal(found) {
			t.Errorf("%s: %v, found %v", name, err, found)
		}
	}
	testkit.WantReason(t, c.ask(trusting(nil, pkitest.NewAuthority(t))), fault.PinMismatch)

	// When the bridge has expired, the old one is history.
	now.set(31 * 24 * time.Hour)
	for name, cfg := range clients(nil) {
		cfg.Time = now.now
		if err := c.ask(cfg); (err == nil) != strings.HasPrefix(name, "new") {
			t.Errorf("after a month, %s: %v", name, err)
		}
	}
}

// A bridge vouches for the leaves of one authority, and not for another one.
func TestABridgeDoesNotCarryABridge(t *testing.T) {
	first := pkitest.NewAuthority(t)
	second := must(first.Next(time.Now()))
	third := must(second.Next(time.Now()))
	c := startOf(t, third, second, first)
	c.presents(pkitest.Issue(t, third, coreLeaf), third.Bridge().Raw, third.Certificate().Raw, second.Bridge().Raw, second.Certificate().Raw, first.Certificate().Raw)
	for name, cfg := range map[string]*tls.Config{"pin": pki.Pinned(first.Pin(), nil), "profile": trusting(nil, first)} {
		if err := c.ask(cfg); err == nil {
			t.Errorf("%s: the first authority leads to the third", name)
		}
	}
	if err := c.ask(pki.Pinned(second.Pin(), nil)); err != nil {
		t.Errorf("the second authority: %v", err)
	}
}

// A clock may be off by an hour on either side. One that is off by more is named.
func TestClocksThatDiffer(t *testing.T) {
	a := pkitest.NewAuthority(t)
	for _, c := range []struct {
		core, client time.Duration
		want         string // "" succeeds
	}{
		{0, time.Hour, ""}, {0, -time.Hour, ""}, {time.Hour, 0, ""}, {-time.Hour, 0, ""},
		{0, 10 * time.Hour, ""},
		{0, 25 * time.Hour, "compare the clocks"}, {0, -3 * time.Hour, "compare the clocks"}, {-25 * time.Hour, 0, "compare the clocks"},
	} {
		var server, client clock
		server.set(c.core)
		client.set(c.client)
		core := start(t, pki.Server(pki.ServerConfig{Leaves: leavesOf(t, server.now, a), Now: server.now}))
		for name, cfg := range map[string]*tls.Config{"pin": pki.Pinned(a.Pin(), nil), "profile": trusting(nil, a)} {
			cfg.Time = client.now
			err := core.ask(cfg)
			if c.want == "" && err != nil {
				t.Errorf("%s, the core's clock is off by %s and the client's by %s: %v", name, c.core, c.client, err)
			}
			if c.want != "" {
				testkit.WantReason(t, err, fault.AuthorityUnknown, "and the clock here says")
				if !strings.Contains(fault.FromError(err).Fix, c.want) {
					t.Error(fault.FromError(err).Fix)
				}
			}
		}
	}
}

// Handshakes renew the certificate, so a machine that slept for a week has a good one
// when the first client comes.
func TestACertificateIsRenewedInTheHandshake(t *testing.T) {
	var now clock
	a := pkitest.NewAuthority(t)
	leaves := leavesOf(t, now.now, a)
	first := must(leaves.Certificate())
	if got := first.Leaf.NotAfter.Sub(now.now()); got < 23*time.Hour || got > 24*time.Hour {
		t.Errorf("it is good for %s", got)
	}
	now.set(11 * time.Hour)
	if again := must(leaves.Certificate()); again != first {
		t.Error("it was renewed too early")
	}
	before := first
	for _, off := range []time.Duration{13 * time.Hour, 200 * time.Hour, -200 * time.Hour, 0} {
		now.set(off)
		renewed := must(leaves.Certificate())
		if left := renewed.Leaf.NotAfter.Sub(now.now()); renewed == before || left < 23*time.Hour || renewed.Leaf.NotBefore.After(now.now()) {
			t.Errorf("after %s it is good for %s", off, left)
		}
		if renewed.PrivateKey.(*ecdsa.PrivateKey).Equal(before.PrivateKey) {
			t.Error("the key was used again")
		}
		before = renewed
	}
}

func TestWhatIsInACertificate(t *testing.T) {
	leaf := must(leavesOf(t, nil, pkitest.NewAuthority(t)).Certificate()).Leaf
	if want := []string{pki.NameCore, pki.NameLane, pki.NameRenew, "box.example.com"}; !slices.Equal(leaf.DNSNames, want) {
		t.Errorf("names %q", leaf.DNSNames)
	}
	if len(leaf.IPAddresses) != 1 || leaf.IPAddresses[0].String() != "127.0.0.1" || leaf.URIs[0].String() != "spiffe://site-a/core/core-1" || leaf.IsCA {
		t.Errorf("%v %v %t", leaf.IPAddresses, leaf.URIs, leaf.IsCA)
	}
	a := pkitest.NewAuthority(t)
	_, err := pki.NewLeaves(pki.LeavesConfig{Authorities: func() []*pki.Authority { return []*pki.Authority{a} }, Core: "core-1", Names: []string{"bücher"}})
	testkit.WantReason(t, err, fault.ConfigInvalid, `the names ["bücher"]`)
}

func TestAuthoritiesThatCannotBeRead(t *testing.T) {
	a, other := pkitest.NewAuthority(t), pkitest.NewAuthority(t)
	cert, key := a.Certificate().Raw, must(a.Key())
	if again, err := pki.Parse(cert, key, nil); err != nil || again.Pin() != a.Pin() || again.Bridge() != nil {
		t.Fatal(err)
	}
	for want, parts := range map[string][3][]byte{
		"the certificate of the cluster's authority cannot be read":                    {cert[:20], key, nil},
		"the key of the cluster's authority cannot be read":                            {cert, key[:20], nil},
		"the bridge of the cluster's authority cannot be read":                         {cert, key, cert[:20]},
		"the key, which is the key of something else, of the cluster's authority cann": {cert, must(other.Key()), nil},
	} {
		_, err := pki.Parse(parts[0], parts[1], parts[2])
		testkit.WantReason(t, err, fault.Integrity, want)
	}
	for _, text := range []string{"", "hello", pki.PEM(a.Certificate())[:100], "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"} {
		_, err := pki.ParsePEM([]byte(text))
		testkit.WantReason(t, err, fault.ConfigInvalid)
	}
}

func FuzzParsePEM(f *testing.F) {
	f.Add([]byte(pki.PEM(must(pki.New("site-a", time.Now())).Certificate())))
	f.Fuzz(func(t *testing.T, text []byte) {
		if certs, err := pki.ParsePEM(text); err == nil && len(certs) == 0 {
			t.Error("no certificate and no error")
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	a := must(pki.New("site-a", time.Now()))
	for b.Loop() {
		if _, err := pki.NewLeaves(pki.LeavesConfig{Authorities: func() []*pki.Authority { return []*pki.Authority{a} }, Core: "core-1"}); err != nil {
			b.Fatal(err)
		}
	}
}
