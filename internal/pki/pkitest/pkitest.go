// Package pkitest makes certificates that authorities of Ruedo would not issue, for
// tests.
package pkitest

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

	"github.com/ruedo-dev/ruedo/internal/pki"
)

// NewAuthority returns a new authority.
func NewAuthority(t testing.TB) *pki.Authority {
	t.Helper()
	a, err := pki.New("site-a", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// NewForeign returns an authority that has nothing to do with Ruedo.
func NewForeign(t testing.TB) *pki.Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	self := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, self, self, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.Parse(cert, private, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ForHost returns the content of a certificate for both ends, of a name and of
// 127.0.0.1.
func ForHost(name string) x509.Certificate {
	return x509.Certificate{
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// Leaf is a certificate with its key.
type Leaf struct {
	DER []byte
	Key *ecdsa.PrivateKey
}

// Issue has an authority sign a certificate. Without times, it is good for an hour.
func Issue(t testing.TB, by *pki.Authority, c x509.Certificate) Leaf {
	t.Helper()
	der, err := by.Key()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return Sign(t, by.Certificate(), key, c)
}

// Sign signs a certificate as the holder of another one.
func Sign(t testing.TB, by *x509.Certificate, with any, c x509.Certificate) Leaf {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(7)
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, by, key.Public(), with)
	if err != nil {
		t.Fatal(err)
	}
	return Leaf{der, key}
}

// Pair is the files of a certificate and its key.
type Pair struct{ Cert, Key string }

// NewPair writes a certificate and its key to files.
func NewPair(t testing.TB, by *pki.Authority, c x509.Certificate) Pair {
	t.Helper()
	dir := t.TempDir()
	p := Pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	p.Write(t, by, c)
	return p
}

// Write replaces the files by those of another certificate.
func (p Pair) Write(t testing.TB, by *pki.Authority, c x509.Certificate) {
	t.Helper()
	leaf := Issue(t, by, c)
	key, err := x509.MarshalPKCS8PrivateKey(leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.Cert, "CERTIFICATE", leaf.DER)
	write(t, p.Key, "PRIVATE KEY", key)
}

// CAFile writes the certificate of an authority to a file.
func CAFile(t testing.TB, a *pki.Authority) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	write(t, path, "CERTIFICATE", a.Certificate().Raw)
	return path
}

func write(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
