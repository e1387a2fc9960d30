package membership_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// certificates writes an authority and a certificate of it for 127.0.0.1.
func certificates(t *testing.T) (cert, key, ca string) {
	t.Helper()
	dir := t.TempDir()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "member"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	caKey, leafKey := newKey(), newKey()
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "EC PRIVATE KEY", keyDER), write("ca.pem", "CERTIFICATE", caDER)
}

func TestMembersWithCertificates(t *testing.T) {
	t.Parallel()
	a, b, stranger := newNode(t), newNode(t), newNode(t)
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
