package client

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/ruedo-dev/ruedo/internal/pki"
)

// WithTLS sets the configuration of TLS, for example other authorities. The default
// trusts the authorities of the system.
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

// WithCertificate shows a certificate to cores that ask for one: a lock in front of the
// login, so it does not take the place of [WithToken]. Both files are PEM, and read
// again when they change. If they cannot be read, if every user of the machine can read
// the private key, or if the certificate has expired, requests to such a core fail with
// CONFIG_INVALID.
func WithCertificate(certificateFile, privateKeyFile string) Option {
	return func(c *config) {
		c.certificate = &pki.FilesConfig{What: "the client certificate", CertificateFile: certificateFile, PrivateKeyFile: privateKeyFile}
	}
}

// connection returns the configuration of TLS that the options add up to; nil is that of
// the system.
func (c *config) connection() *tls.Config {
	if c.certificate == nil {
		return c.tls
	}
	return pki.Showing(c.tls, *c.certificate)
}
