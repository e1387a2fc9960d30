package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// leafLife is how long the certificate of a core is valid.
const leafLife = 24 * time.Hour

// LeavesConfig configures Leaves. All fields but Names and Now are required.
type LeavesConfig struct {
	// Authorities returns the authorities of the cluster, the newest one first. It is
	// called in handshakes, by many goroutines at the same time.
	Authorities func() []*Authority
	// Core is the id of the core.
	Core string
	// Names are host names and addresses by which the core is reached, for clients
	// that verify them.
	Names []string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Leaves issues the certificates of one core. Their keys are in memory only.
type Leaves struct {
	cfg LeavesConfig

	mu      sync.Mutex
	current *tls.Certificate
	by      *Authority // that issued it
}

// NewLeaves issues the first certificate. It fails with CONFIG_INVALID if a name
// cannot be in one.
func NewLeaves(cfg LeavesConfig) (*Leaves, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Leaves{cfg: cfg}
	if _, err := l.Certificate(); err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "no certificate can be issued for core %s and the names %q: %s", cfg.Core, cfg.Names, err).
			WithFix("check tls.names")
	}
	return l, nil
}

// Certificate returns the certificate of the core. It issues another one if less than
// half of its life is left, or if the authority has changed: handshakes ask for it, so
// a machine that slept has a good one when it wakes up.
func (l *Leaves) Certificate() (*tls.Certificate, error) {
	all := l.cfg.Authorities()
	if len(all) == 0 {
		return nil, fault.New(fault.Internal, "the cluster has no authority")
	}
	now := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil && l.by.cert.Equal(all[0].cert) && !now.Before(l.current.Leaf.NotBefore) && l.current.Leaf.NotAfter.Sub(now) >= leafLife/2 {
		return l.current, nil
	}
	issued, err := l.issue(all, now)
	if err != nil {
		return nil, err
	}
	l.current, l.by = issued, all[0]
	return issued, nil
}

func (l *Leaves) issue(all []*Authority, now time.Time) (*tls.Certificate, error) {
	by := all[0]
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber: serial(), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		NotBefore: now.Add(-backdated), NotAfter: now.Add(leafLife),
		URIs: []*url.URL{{Scheme: "spiffe", Host: by.cluster(), Path: "/core/" + l.cfg.Core}},
		// Cores show it to other cores, too.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{NameCore, NameLane, NameRenew},
	}
	for _, name := range l.cfg.Names {
		switch ip := net.ParseIP(name); {
		case name == "" || slices.Contains(c.DNSNames, name) || slices.ContainsFunc(c.IPAddresses, ip.Equal):
		case ip != nil:
			c.IPAddresses = append(c.IPAddresses, ip)
		default:
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	leaf, err := by.sign(c, key.Public())
	if err != nil {
		return nil, err
	}
	chain := [][]byte{leaf.Raw}
	bridged := by.bridge != nil && now.Before(by.bridge.NotAfter)
	if bridged {
		chain = append(chain, by.bridge.Raw)
	}
	chain = append(chain, by.cert.Raw)
	if bridged && len(all) > 1 {
		chain = append(chain, all[1].cert.Raw) // by whose pin clients find it
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}
