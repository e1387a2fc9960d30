package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// show returns the configuration of a client that shows a certificate.
func show(t *testing.T, cfg *tls.Config, by *pki.Authority, c x509.Certificate) *tls.Config {
	t.Helper()
	leaf := pkitest.Issue(t, by, c)
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{leaf.DER}, PrivateKey: leaf.Key}, nil
	}
	return cfg
}

// Others renew certificates when they want to, and break them now and then. What was
// good stays in use, and is complained about once.
func TestFilesThatAreReplaced(t *testing.T) {
	var now clock
	var log testkit.Log
	other := pkitest.NewAuthority(t)
	files := pkitest.NewPair(t, other, pkitest.ForHost("one.example.com"))
	p, err := pki.LoadPair(pki.FilesConfig{What: "the certificate of the core", CertificateFile: files.Cert, PrivateKeyFile: files.Key, Logger: log.Logger(), Now: now.now})
	if err != nil {
		t.Fatal(err)
	}
	later := time.Duration(0)
	uses := func(want string) {
		t.Helper()
		if got := must(x509.ParseCertificate(p.Certificate().Certificate[0])).DNSNames[0]; got != want {
			t.Errorf("%s is in use, want %s", got, want)
		}
	}
	wait := func(d time.Duration) { later += d; now.set(later) }
	said := func(want int) {
		t.Helper()
		if got := strings.Count(log.String(), "cannot be used"); got != want {
			t.Errorf("complained %d times, want %d: %s", got, want, log.String())
		}
	}
	uses("one.example.com")

	files.Write(t, other, pkitest.ForHost("two.example.com"))
	uses("one.example.com") // nobody looks so soon
	wait(10 * time.Second)
	uses("two.example.com")
	said(0)

	key := must(os.ReadFile(files.Key))
	files.Write(t, other, pkitest.ForHost("three.example.com"))
	third := must(os.ReadFile(files.Key))
	if err := os.WriteFile(files.Key, key, 0o600); err != nil { // of the second
		t.Fatal(err)
	}
	for range 3 {
		wait(10 * time.Second)
		uses("two.example.com")
	}
	said(1)
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wait(10 * time.Second)
		uses("two.example.com")
	}
	said(2)
	if err := os.WriteFile(files.Key, third, 0o600); err != nil {
		t.Fatal(err)
	}
	wait(10 * time.Second)
	uses("three.example.com")
	said(2)
	// A clock that was set back does not keep anybody from looking.
	files.Write(t, other, pkitest.ForHost("four.example.com"))
	wait(-time.Hour)
	uses("four.example.com")

	if err := os.WriteFile(files.Key, []byte(strings.Repeat("x", 2<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, broken := range []pkitest.Pair{files, {Cert: files.Cert, Key: files.Cert}, {Cert: files.Cert, Key: files.Cert + "none"}, {Cert: t.TempDir(), Key: files.Key}} {
		_, err := pki.LoadPair(pki.FilesConfig{What: "the certificate of the core", CertificateFile: broken.Cert, PrivateKeyFile: broken.Key})
		testkit.WantReason(t, err, fault.ConfigInvalid, "the certificate of the core cannot be used: ")
	}
}

// The certificate of the user is for the user's names, and for programs that know no
// TLS 1.3. The cluster's own names stay with its authority.
func TestACertificateOfTheUser(t *testing.T) {
	own, other := pkitest.NewAuthority(t), pkitest.NewForeign(t)
	files := pkitest.NewPair(t, other, pkitest.ForHost("ruedo.example.com"))
	p := must(pki.LoadPair(pki.FilesConfig{CertificateFile: files.Cert, PrivateKeyFile: files.Key}))
	c := start(t, pki.Server(pki.ServerConfig{Leaves: leavesOf(t, nil, own), Pair: p}))
	alone := start(t, pki.Server(pki.ServerConfig{Pair: p}))
	old := func(cfg *tls.Config) *tls.Config {
		cfg = cfg.Clone()
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		return cfg
	}
	as := func(name string) *tls.Config {
		cfg := must(pki.CAFile(pkitest.CAFile(t, other)))
		cfg.ServerName = name
		return cfg
	}
	for name, try := range map[string]struct {
		core *core
		cfg  *tls.Config
		ok   bool
	}{
		"by name":                         {c, as("ruedo.example.com"), true},
		"by address":                      {c, as(""), true},
		"by name over TLS 1.2":            {c, old(as("ruedo.example.com")), true},
		"by pin":                          {c, pki.Pinned(own.Pin(), nil), true},
		"by pin over TLS 1.2":             {c, old(pki.Pinned(own.Pin(), nil)), false},
		"a core without an authority":     {alone, as("ruedo.example.com"), true},
		"a pin at one without authority":  {alone, pki.Pinned(own.Pin(), nil), false},
		"a client of another authority":   {c, must(pki.CAFile(pkitest.CAFile(t, pkitest.NewForeign(t)))), false},
		"by the cluster's authority":      {c, must(pki.CAFile(pkitest.CAFile(t, own))), true},
		"a client of the system's roots":  {c, pki.System(), false},
		"by a name that it does not have": {c, as("else.example.com"), false},
	} {
		if err := try.core.ask(try.cfg); (err == nil) != try.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The lock is in front of everything, and is no login.
func TestTheLock(t *testing.T) {
	own, users, stranger := pkitest.NewAuthority(t), pkitest.NewForeign(t), pkitest.NewForeign(t)
	leaves := leavesOf(t, nil, own)
	lock := func(names ...string) *core {
		return start(t, pki.Server(pki.ServerConfig{Leaves: leaves, Lock: must(pki.NewLock(pki.FilesConfig{CertificateFile: pkitest.CAFile(t, users)}, names))}))
	}
	with := func(by *pki.Authority, c x509.Certificate) *tls.Config {
		return show(t, pki.Pinned(own.Pin(), nil), by, c)
	}
	another := pki.Pinned(own.Pin(), nil)
	another.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return leavesOf(t, nil, own).Certificate()
	}
	files := pkitest.NewPair(t, users, pkitest.ForHost("laptop.example.com"))
	cfg := pki.Showing(pki.Pinned(own.Pin(), nil), pki.FilesConfig{CertificateFile: files.Cert, PrivateKeyFile: files.Key})
	past := pkitest.ForHost("laptop.example.com")
	past.NotBefore, past.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	of := pkitest.ForHost("laptop.example.com")
	of.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	spiffe := pkitest.ForHost("x")
	spiffe.URIs = []*url.URL{{Scheme: "spiffe", Host: "acme", Path: "/ci"}}
	open, named, wild := lock(), lock("laptop.example.com", "spiffe://acme/ci"), lock("*.example.com")
	for name, try := range map[string]struct {
		core *core
		cfg  *tls.Config
		ok   bool
	}{
		"a certificate":                          {open, cfg, true},
		"none":                                   {open, pki.Pinned(own.Pin(), nil), false},
		"one of a stranger":                      {open, with(stranger, pkitest.ForHost("laptop.example.com")), false},
		"one that has expired":                   {open, with(users, past), false},
		"one for servers":                        {open, with(users, of), false},
		"one of another core":                    {open, another, true},
		"a name that is let in":                  {named, cfg, true},
		"a URI that is let in":                   {named, with(users, spiffe), true},
		"another name":                           {named, with(users, pkitest.ForHost("phone.example.com")), false},
		"another core where names are let in":    {named, another, true},
		"a name below the one that is let in":    {wild, cfg, true},
		"the name above":                         {wild, with(users, pkitest.ForHost("example.com")), false},
		"a name that only ends in the same text": {wild, with(users, pkitest.ForHost("evilexample.com")), false},
	} {
		err := try.core.ask(try.cfg)
		if (err == nil) != try.ok {
			t.Errorf("%s: %v", name, err)
		}
		if !try.ok && err != nil {
			testkit.WantReason(t, err, fault.Unauthenticated, "the core asks for a client certificate")
		}
	}

	// No ticket outlives a certificate.
	resuming := with(users, pkitest.ForHost("laptop.example.com"))
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for range 3 {
		conn := must(tls.Dial("tcp", open.addr, resuming))
		must(conn.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")))
		must(io.ReadAll(conn))
		if conn.ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
		_ = conn.Close()
	}
	_, err := pki.NewLock(pki.FilesConfig{What: "tls.ca_certificate_file", CertificateFile: files.Key}, nil)
	testkit.WantReason(t, err, fault.ConfigInvalid, "tls.ca_certificate_file cannot be used: there is no PEM certificate")
}

func TestExplain(t *testing.T) {
	c := startOf(t, pkitest.NewAuthority(t))
	testkit.WantReason(t, c.ask(pki.System()), fault.AuthorityUnknown, "an authority that this machine does not trust")
	other := pkitest.NewForeign(t)
	files := pkitest.NewPair(t, other, pkitest.ForHost("ruedo.example.com"))
	c = start(t, pki.Server(pki.ServerConfig{Pair: must(pki.LoadPair(pki.FilesConfig{CertificateFile: files.Cert, PrivateKeyFile: files.Key}))}))
	cfg := must(pki.CAFile(pkitest.CAFile(t, other)))
	cfg.ServerName = "else.example.com"
	testkit.WantReason(t, c.ask(cfg), fault.AuthorityUnknown, `the certificate of the core is not for "else.example.com"`)
	plain := must(net.Listen("tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: http.NotFoundHandler()}
	done := make(chan error, 1)
	go func() { done <- server.Serve(plain) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	testkit.WantReason(t, (&core{addr: plain.Addr().String()}).ask(pki.System()), fault.CoreUnreachable, "does not speak TLS")
	if err := pki.Explain(io.EOF); err != io.EOF {
		t.Error(err)
	}
	_, err := pki.CAFile(filepath.Join(t.TempDir(), "none"))
	testkit.WantReason(t, err, fault.ConfigInvalid, "tls.ca_certificate_file cannot be used")
}
