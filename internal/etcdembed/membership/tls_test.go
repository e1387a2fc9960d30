package membership_test

import (
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
)

// certificates writes an authority and a certificate of it for 127.0.0.1.
func certificates(t *testing.T) (cert, key, ca string) {
	t.Helper()
	a := pkitest.NewAuthority(t)
	p := pkitest.NewPair(t, a, pkitest.ForHost("member"))
	return p.Cert, p.Key, pkitest.CAFile(t, a)
}

func TestMembersWithCertificates(t *testing.T) {
	t.Parallel()
	a, b, stranger := newNodeAt(t, "127.0.0.1:0"), newNodeAt(t, "127.0.0.1:0"), newNode(t)
	cert, key, ca := certificates(t)
	for _, n := range []*node{a, b} {
		n.peers.CertFile, n.peers.KeyFile, n.peers.CAFile = cert, key, ca
	}
	a.start()
	b.join(a).start()
	b.mustPut("a", "1")
	if got := a.get("a"); got != "1" {
		t.Errorf("read %q, want 1", got)
	}
	// One without a certificate, and one of another authority, change nothing.
	is(t, stranger.join(a).tryStart(3*time.Second), fault.StoreUnavailable, "no member of the store answers this one")
	stranger.peers.CertFile, stranger.peers.KeyFile, stranger.peers.CAFile = certificates(t)
	is(t, stranger.tryStart(3*time.Second), fault.StoreUnavailable, "no member of the store answers this one")
	if n := len(a.list()); n != 2 {
		t.Errorf("%d members, want 2", n)
	}
	a.mustPut("a", "2")
}
