// Package pki is the certificate authority of a cluster, and TLS between its parts.
//
//	a, err := pki.New("site-a", time.Now())             // once in a cluster
//	leaves, err := pki.NewLeaves(pki.LeavesConfig{...}) // each core
//	err = port.ServeTLS(l, pki.Server(pki.ServerConfig{Leaves: leaves}))
//
//	cfg := pki.Pinned(pin, remember)                    // a client, the first time
//	cfg = pki.Trusting(remembered)                      // and then
//
// # Names
//
// Every certificate of a core carries [NameCore]. Clients that trust the authority
// verify this name and not the address that they dialled, so no address can be
// missing in a certificate. Other clients verify the address, as usual.
//
// # Pins
//
// A pin is the hash of the authority's public key. Cores send the authority along
// with their certificate, so one handshake verifies both.
//
// # Rotation
//
// [Authority.Next] makes a new authority and a bridge: the new one's certificate,
// signed by the old one. Cores send leaf, bridge, new and old authority, so old and
// new pins both lead to the leaf until the bridge expires.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/pem"
	"math/big"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Names in the certificate of every core. The cluster's own authority signs them, so
// they need not be unique in the world. Lane and Renew are for runners.
const (
	NameCore  = "core" + internal
	NameLane  = "lane" + internal
	NameRenew = "renew" + internal

	internal = ".ruedo.internal"
)

const (
	// authorityYears is how long an authority lives.
	authorityYears = 10
	// bridgeLife is how long clients that trust the authority before still reach the
	// cluster after a rotation.
	bridgeLife = 30 * 24 * time.Hour
	// backdated is by how much a clock may be slow without finding a certificate that
	// is not valid yet.
	backdated = 2 * time.Hour
	// ofCluster is what the common name of an authority begins with.
	ofCluster = "ruedo "
)

// Authority issues the certificates of the cores of a cluster. It is immutable.
type Authority struct {
	cert   *x509.Certificate
	bridge *x509.Certificate // nil if there was no authority before
	key    crypto.Signer
}

// New makes the authority of a cluster.
func New(cluster string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	self := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: ofCluster + cluster},
		NotBefore: now.Add(-backdated), NotAfter: now.AddDate(authorityYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, KeyUsage: x509.KeyUsageCertSign,
	}
	cert, err := sign(self, key.Public(), self, key)
	return &Authority{cert: cert, key: key}, err
}

// Next makes the authority that takes the place of a, with a bridge.
func (a *Authority) Next(now time.Time) (*Authority, error) {
	next, err := New(a.cluster(), now)
	if err != nil {
		return nil, err
	}
	bridge := *next.cert
	bridge.SerialNumber, bridge.NotAfter = serial(), now.Add(bridgeLife)
	bridge.MaxPathLen, bridge.MaxPathLenZero = 0, true // it vouches for leaves alone
	bridge.AuthorityKeyId = nil
	next.bridge, err = sign(&bridge, next.cert.PublicKey, a.cert, a.key)
	return next, err
}

// Parse reads an authority: its certificate and bridge in DER, and the private key
// that [Authority.Key] returned. Without a bridge, bridge is empty. It fails with
// INTEGRITY.
func Parse(certificate, key, bridge []byte) (*Authority, error) {
	broken := func(err error, what string) error {
		return fault.Wrap(err, fault.Integrity, "the %s of the cluster's authority cannot be read", what)
	}
	var a Authority
	var err error
	if a.cert, err = x509.ParseCertificate(certificate); err != nil {
		return nil, broken(err, "certificate")
	}
	if len(bridge) > 0 {
		if a.bridge, err = x509.ParseCertificate(bridge); err != nil {
			return nil, broken(err, "bridge")
		}
	}
	parsed, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return nil, broken(err, "key")
	}
	signer, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !signer.PublicKey.Equal(a.cert.PublicKey) {
		return nil, broken(nil, "key, which is the key of something else,")
	}
	a.key = signer
	return &a, nil
}

// Certificate returns the certificate of the authority.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// Bridge returns the certificate by which clients of the authority before trust this
// one; nil if there is none.
func (a *Authority) Bridge() *x509.Certificate { return a.bridge }

// Key returns the private key, to be sealed.
func (a *Authority) Key() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(a.key) }

// Pin returns the pin of the authority.
func (a *Authority) Pin() string { return Pin(a.cert) }

// Pin returns what names an authority: the SHA-256 of its public key, in base32.
func Pin(authority *x509.Certificate) string {
	sum := sha256.Sum256(authority.RawSubjectPublicKeyInfo)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// PEM encodes a certificate.
func PEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// ParsePEM reads certificates. It fails with CONFIG_INVALID if there is none, or one
// that cannot be read.
func ParsePEM(text []byte) (certs []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Wrap(err, fault.ConfigInvalid, "a certificate cannot be read: %s", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, fault.New(fault.ConfigInvalid, "there is no PEM certificate")
	}
	return certs, nil
}

// ofRuedo reports whether a certificate is that of a cluster's authority.
func ofRuedo(c *x509.Certificate) bool {
	return c.IsCA && strings.HasPrefix(c.Subject.CommonName, ofCluster) && c.CheckSignatureFrom(c) == nil
}

// cluster returns the id of the cluster.
func (a *Authority) cluster() string { return strings.TrimPrefix(a.cert.Subject.CommonName, ofCluster) }

func (a *Authority) sign(c *x509.Certificate, key crypto.PublicKey) (*x509.Certificate, error) {
	return sign(c, key, a.cert, a.key)
}

func sign(c *x509.Certificate, key crypto.PublicKey, by *x509.Certificate, with crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, c, by, key, with)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// serial returns a random number of 127 bits.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}
