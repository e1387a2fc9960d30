package pki

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// ServerConfig configures TLS of a core's port. Leaves, Pair or both are required.
type ServerConfig struct {
	// Leaves are the certificates of the cluster's own authority. They answer for its
	// fixed names, and for all others without a Pair.
	Leaves *Leaves
	// Pair is a certificate of somebody else's authority.
	Pair *Pair
	// Lock has clients show a certificate. Nil asks for none.
	Lock *Lock
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Server returns the configuration of a core's port. The name that a client asks for
// decides which certificate it is shown, and never who the client is.
func Server(cfg ServerConfig) *tls.Config {
	own := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}, Time: cfg.Now}
	if cfg.Leaves != nil {
		own.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cfg.Leaves.Certificate() }
	}
	others := own.Clone()
	if cfg.Pair != nil {
		others.MinVersion = tls.VersionTLS12 // its clients are not ours
		others.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cfg.Pair.Certificate(), nil }
	}
	top := others.Clone()
	top.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen := others
		if cfg.Leaves != nil && strings.HasSuffix(hello.ServerName, internal) {
			chosen = own
		}
		if cfg.Lock != nil {
			return cfg.Lock.on(chosen, cfg.Leaves), nil
		}
		return chosen, nil
	}
	return top
}

// Lock is a lock in front of the login: who has no certificate does not get as far.
// Who a caller is does not depend on it.
type Lock struct {
	roots *roots
	names []string
}

// NewLock returns a lock that the certificates open which an authority in a file has
// issued. If names are given, a certificate needs one of them; "*.example.com" stands
// for all names below. Cores of the cluster have the key anyway. It fails with
// CONFIG_INVALID.
func NewLock(cfg FilesConfig, names []string) (*Lock, error) {
	r, err := loadRoots(cfg)
	if err != nil {
		return nil, err
	}
	return &Lock{r, names}, nil
}

// on returns a configuration with the lock on it.
func (l *Lock) on(cfg *tls.Config, leaves *Leaves) *tls.Config {
	var own []*Authority
	if leaves != nil {
		own = leaves.cfg.Authorities()
	}
	locked := cfg.Clone()
	locked.ClientAuth, locked.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	for _, c := range *l.roots.get() {
		locked.ClientCAs.AddCert(c)
	}
	for _, a := range own {
		locked.ClientCAs.AddCert(a.cert)
	}
	// A ticket would open the lock for whoever has lost the certificate since.
	locked.SessionTicketsDisabled = true
	locked.VerifyConnection = func(s tls.ConnectionState) error {
		if slices.ContainsFunc(s.VerifiedChains, func(chain []*x509.Certificate) bool {
			return slices.ContainsFunc(own, func(a *Authority) bool { return a.cert.Equal(chain[len(chain)-1]) })
		}) {
			return nil
		}
		if leaf := s.PeerCertificates[0]; len(l.names) > 0 && !slices.ContainsFunc(l.names, func(want string) bool { return named(leaf, want) }) {
			return fault.New(fault.Unauthenticated, "the certificate of the client has none of the names that are let in")
		}
		return nil
	}
	return locked
}

// named reports whether a certificate has a name.
func named(c *x509.Certificate, want string) bool {
	names := slices.Concat(c.DNSNames, c.EmailAddresses)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	below, all := strings.CutPrefix(want, "*")
	return slices.ContainsFunc(names, func(name string) bool {
		return name == want || all && strings.HasPrefix(below, ".") && len(name) > len(below) && strings.HasSuffix(name, below)
	})
}
