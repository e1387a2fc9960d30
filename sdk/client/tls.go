package client

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/ruedo-dev/ruedo/internal/pki"
)

// WithTLS sets the configuration of TLS, for example other authorities or a client
// certificate. The default trusts the authorities of the system.
func WithTLS(cfg *tls.Config) Option {
	return func(c *config) { c.tls, c.tlsErr = cfg, nil }
}

// WithAuthority trusts the authority of a cluster, PEM, and no other. The address of a
// core does not have to be in its certificate. A core of another cluster fails with
// PIN_MISMATCH.
func WithAuthority(pem string) Option {
	return func(c *config) {
		var certs []*x509.Certificate
		certs, c.tlsErr = pki.ParsePEM([]byte(pem))
		c.tls = pki.Trusting(func() []*x509.Certificate { return certs }, nil)
	}
}
