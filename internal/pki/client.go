package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Pinned returns the configuration of a client that knows nothing of a cluster but a
// pin. found, if it is not nil, gets the cluster's authority in each handshake that
// succeeded, to be remembered. A handshake with anybody else fails with PIN_MISMATCH.
func Pinned(pin string, found func(*x509.Certificate)) *tls.Config {
	return verifying(found, func(sent []*x509.Certificate) (trusted []*x509.Certificate) {
		for _, c := range sent {
			// The bridge has the key of an authority, too.
			if Pin(c) == pin && c.CheckSignatureFrom(c) == nil {
				trusted = append(trusted, c)
			}
		}
		return trusted
	})
}

// Offered returns the configuration of a client that knows nothing of a cluster at all.
// found gets the authority that a core has sent, whose pin somebody can compare. Send
// nothing over such a connection: whoever answers could be anybody.
func Offered(found func(*x509.Certificate)) *tls.Config {
	return verifying(found, func(sent []*x509.Certificate) (trusted []*x509.Certificate) {
		for _, c := range sent {
			if c.CheckSignatureFrom(c) == nil {
				trusted = append(trusted, c)
			}
		}
		return trusted
	})
}

// Trusting returns the configuration of a client that remembers the authorities of a
// cluster. found, if it is not nil, gets the newest one in each handshake that
// succeeded. A handshake with anybody else fails with PIN_MISMATCH.
func Trusting(authorities func() []*x509.Certificate, found func(*x509.Certificate)) *tls.Config {
	return verifying(found, func([]*x509.Certificate) []*x509.Certificate { return authorities() })
}

// verifying returns the configuration of a client that verifies cores by the fixed
// name. trusted returns the authorities that it trusts of what a core has sent, or
// from elsewhere.
func verifying(found func(*x509.Certificate), trusted func(sent []*x509.Certificate) []*x509.Certificate) *tls.Config {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: NameCore,
		InsecureSkipVerify: true, // VerifyConnection verifies
	}
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		now := time.Now()
		if cfg.Time != nil {
			now = cfg.Time()
		}
		leaf, sent := s.PeerCertificates[0], s.PeerCertificates[1:]
		opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: NameCore, CurrentTime: now}
		for _, c := range trusted(sent) {
			opts.Roots.AddCert(c)
		}
		for _, c := range sent {
			opts.Intermediates.AddCert(c)
		}
		if _, err := leaf.Verify(opts); err != nil {
			return notOfCluster(err, now)
		}
		for _, c := range sent {
			if found != nil && c.CheckSignatureFrom(c) == nil && leaf.CheckSignatureFrom(c) == nil {
				found(c)
				break
			}
		}
		return nil
	}
	return cfg
}

func notOfCluster(err error, now time.Time) error {
	if e := expired(err, now); e != nil {
		return e
	}
	return fault.Wrap(err, fault.PinMismatch, "whatever answers there is not a core of the cluster that is meant: its certificate is not of that cluster's authority").
		WithFix("check the address; if the cluster was set up again, ask for a new link")
}

// expired returns the error for a certificate that is not valid at this time; nil if
// err says something else.
func expired(err error, now time.Time) *fault.Error {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		return nil
	}
	c := invalid.Cert
	return fault.Wrap(err, fault.AuthorityUnknown, "a certificate of the core is valid from %s to %s, and the clock here says %s",
		c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)).
		WithFix("compare the clocks of both machines")
}

// CAFile returns the configuration of a client that trusts the authorities in a file. If
// all of them are of clusters of Ruedo, it verifies cores as Trusting does; otherwise by
// the address that was dialled. It fails with CONFIG_INVALID.
func CAFile(path string) (*tls.Config, error) {
	r, err := loadRoots(FilesConfig{What: "tls.ca_certificate_file", CertificateFile: path})
	if err != nil {
		return nil, err
	}
	all := *r.get()
	if !slices.ContainsFunc(all, func(c *x509.Certificate) bool { return !ofRuedo(c) }) {
		return Trusting(func() []*x509.Certificate { return all }, nil), nil
	}
	cfg := System()
	cfg.RootCAs = x509.NewCertPool()
	for _, c := range all {
		cfg.RootCAs.AddCert(c)
	}
	return cfg, nil
}

// System returns the configuration of a client that trusts what its machine trusts.
func System() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }

// Explain returns the error for a request that failed because of TLS. Other errors are
// returned as they are.
func Explain(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if e := expired(err, time.Now()); e != nil {
		return e
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fault.Wrap(err, fault.AuthorityUnknown, "the certificate of the core is of an authority that this machine does not trust").
			WithFix("log in with a link, which names the authority, or name its file in tls.ca_certificate_file")
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return fault.Wrap(err, fault.AuthorityUnknown, "the certificate of the core is not for %q", fault.Cut(name.Host, 128)).
			WithFix("use a name that is in it, or add this one to tls.names of the core")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fault.Wrap(err, fault.AuthorityUnknown, "the certificate of the core cannot be believed: %s", fault.Cut(err.Error(), 256))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return fault.Wrap(err, fault.CoreUnreachable, "whatever answers there does not speak TLS").WithFix("use http:// if the core is meant to be without TLS")
	}
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" && strings.Contains(remote.Err.Error(), "certificate") {
		return refused(err, strings.TrimPrefix(remote.Err.Error(), "tls: "))
	}
	return err
}
