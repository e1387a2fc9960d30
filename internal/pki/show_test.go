package pki_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// A client says itself what is wrong with its certificate, when a core asks for it; and
// what the core does not like of one that is good here.
func TestAClientShowsItsCertificate(t *testing.T) {
	own, users, stranger := pkitest.NewAuthority(t), pkitest.NewForeign(t), pkitest.NewForeign(t)
	leaves := leavesOf(t, nil, own)
	asking := func(names ...string) *core {
		lock := must(pki.NewLock(pki.FilesConfig{CertificateFile: pkitest.CAFile(t, users)}, names))
		return start(t, pki.Server(pki.ServerConfig{Leaves: leaves, Lock: lock}))
	}
	locked, named, open := asking(), asking("laptop.example.com"), start(t, pki.Server(pki.ServerConfig{Leaves: leaves}))
	ask := func(c *core, files pkitest.Pair) error {
		return c.ask(pki.Showing(pki.Pinned(own.Pin(), nil), pki.FilesConfig{What: "the client certificate", CertificateFile: files.Cert, PrivateKeyFile: files.Key}))
	}
	past, future := pkitest.ForHost("laptop.example.com"), pkitest.ForHost("laptop.example.com")
	past.NotBefore, past.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	future.NotBefore, future.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	good, others := pkitest.NewPair(t, users, pkitest.ForHost("phone.example.com")), pkitest.NewPair(t, stranger, pkitest.ForHost("laptop.example.com"))
	expired, early := pkitest.NewPair(t, users, past), pkitest.NewPair(t, users, future)
	if err := ask(locked, good); err != nil {
		t.Error(err)
	}
	for what, c := range map[string]struct {
		err    error
		reason fault.Reason
		says   []string
	}{
		"one that is missing":         {ask(locked, pkitest.Pair{Cert: "nowhere.pem", Key: "nowhere.key"}), fault.ConfigInvalid, []string{"the client certificate cannot be used: open nowhere.pem: no such file"}},
		"one without its key":         {ask(locked, pkitest.Pair{Cert: good.Cert}), fault.ConfigInvalid, []string{"a certificate and its private key belong together"}},
		"the key of another":          {ask(locked, pkitest.Pair{Cert: good.Cert, Key: others.Key}), fault.ConfigInvalid, []string{"the client certificate cannot be used: tls: private key does not match"}},
		"one that has expired":        {ask(locked, expired), fault.ConfigInvalid, []string{"is valid from", "and the clock here says", "replace it"}},
		"one that is not valid yet":   {ask(locked, early), fault.ConfigInvalid, []string{"is valid from", "and the clock here says"}},
		"none":                        {locked.ask(pki.Pinned(own.Pin(), nil)), fault.Unauthenticated, []string{"asks for a client certificate, and none was shown", "client.certificate_file"}},
		"one of another authority":    {ask(locked, others), fault.Unauthenticated, []string{"not of an authority that it trusts", "tls.ca_certificate_file of the core"}},
		"one of another name":         {ask(named, good), fault.Unauthenticated, []string{"does not accept that of this machine", "tls.client_names of the core"}},
		"one that the core sees ends": {locked.ask(show(t, pki.Pinned(own.Pin(), nil), users, past)), fault.Unauthenticated, []string{"has expired"}},
	} {
		t.Run(what, func(t *testing.T) { testkit.WantReason(t, c.err, c.reason, c.says...) })
	}
	// Cores that do not ask are not shown it, so it does not matter.
	for _, files := range []pkitest.Pair{expired, {Cert: "nowhere.pem", Key: "nowhere.key"}} {
		if err := ask(open, files); err != nil {
			t.Error(err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	for mode, private := range map[os.FileMode]bool{0o600: true, 0o640: true, 0o644: false, 0o602: false} {
		if err := os.Chmod(good.Key, mode); err != nil {
			t.Fatal(err)
		}
		err := ask(locked, good)
		if private && err != nil {
			t.Errorf("%04o: %v", mode, err)
		} else if !private {
			testkit.WantReason(t, err, fault.ConfigInvalid, "everybody on this machine can read or change the private key", "chmod 600 "+good.Key)
		}
	}
}

// What was wrong with the files can be put right while the client runs, and a new
// certificate is used without a restart.
func TestAClientReadsItsCertificateAgain(t *testing.T) {
	own, users := pkitest.NewAuthority(t), pkitest.NewForeign(t)
	lock := must(pki.NewLock(pki.FilesConfig{CertificateFile: pkitest.CAFile(t, users)}, nil))
	c := start(t, pki.Server(pki.ServerConfig{Leaves: leavesOf(t, nil, own), Lock: lock}))
	past := pkitest.ForHost("laptop")
	past.NotBefore, past.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	files := pkitest.NewPair(t, users, past)
	var now clock
	cfg := pki.Showing(pki.Pinned(own.Pin(), nil), pki.FilesConfig{What: "the client certificate", CertificateFile: files.Cert, PrivateKeyFile: files.Key, Now: now.now})
	testkit.WantReason(t, c.ask(cfg), fault.ConfigInvalid, "is valid from")
	files.Write(t, users, pkitest.ForHost("laptop"))
	if err := c.ask(cfg); err != nil {
		t.Error(err)
	}
	files.Write(t, pkitest.NewForeign(t), pkitest.ForHost("laptop"))
	now.set(11 * time.Second) // files are looked at every 10 s
	testkit.WantReason(t, c.ask(cfg), fault.Unauthenticated, "not of an authority that it trusts")
}
