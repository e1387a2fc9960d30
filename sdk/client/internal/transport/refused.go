package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
)

// refusedTimeout bounds how long it takes to find out why a core hung up.
const refusedTimeout = 2 * time.Second

// refused returns why a core has hung up on this machine, if that was because of a
// client certificate, and otherwise nil. In TLS 1.3 a client has completed the handshake
// before the core looks at its certificate. A request that it writes then can fail
// before it has read what the core says. So this connects again, and only reads.
func refused(ctx context.Context, client connect.HTTPClient, u *url.URL) *fault.Error {
	follows, _ := client.(*http.Client)
	if follows == nil || u.Scheme != "https" || ctx.Err() != nil {
		return nil
	}
	t, _ := follows.Transport.(*http.Transport)
	if t == nil || t.DialContext == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, refusedTimeout)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = "443"
	}
	conn, err := t.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil
	}
	defer conn.Close()
	asked := false
	secure := tls.Client(conn, asking(t.TLSClientConfig, u.Hostname(), &asked))
	if secure.HandshakeContext(ctx) != nil || !asked {
		return nil
	}
	_ = secure.SetReadDeadline(time.Now().Add(refusedTimeout))
	_, err = secure.Read(make([]byte, 1)) // a core that accepts the certificate begins with HTTP/2
	if e, ok := errors.AsType[*fault.Error](pki.Explain(err)); err != nil && ok && e.Reason == fault.Unauthenticated {
		return e
	}
	return nil
}

// asking returns the configuration of a connection to a host that notes whether the core
// asks for a client certificate.
func asking(cfg *tls.Config, host string, asked *bool) *tls.Config {
	if cfg = cfg.Clone(); cfg == nil {
		cfg = pki.System()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	cfg.NextProtos = []string{"h2", "http/1.1"}
	show := cfg.GetClientCertificate
	cfg.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		*asked = true
		switch {
		case show != nil:
			return show(info)
		case len(cfg.Certificates) > 0:
			return &cfg.Certificates[0], nil
		}
		return &tls.Certificate{}, nil
	}
	return cfg
}
