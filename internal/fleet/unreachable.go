package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// unreachable returns the error for a store that did not answer at the start.
// The etcd client does not say why, so each host is asked again whether it is
// TLS that does not fit.
func (c *Cluster) unreachable(ctx context.Context, err error) error {
	e, ok := err.(*fault.Error)
	if !ok || e.Reason != fault.StoreUnavailable || len(c.hosts) == 0 {
		return err
	}
	if refused(e) {
		return fault.Wrap(err, fault.StoreUnavailable, "the store at %s refused the credentials", strings.Join(c.hosts, ", ")).WithFix("%s", e.Fix)
	}
	ctx, cancel := context.WithTimeout(ctx, tlsWait)
	defer cancel()
	for _, host := range c.hosts {
		if why, fix := checkTLS(ctx, host, c.tls); why != "" {
			return fault.Wrap(err, fault.StoreUnavailable, "the store at %s does not answer: %s", host, why).WithFix("%s", fix)
		}
	}
	return fault.Wrap(err, fault.StoreUnavailable, "the store at %s does not answer", strings.Join(c.hosts, ", ")).
		WithFix("check that etcd runs there and that store.etcd_hosts names it")
}

// tlsWait bounds the check of all hosts.
const tlsWait = time.Second

// checkTLS returns why TLS with a host fails, and what to do. Both are empty if
// it does not, or if the host cannot be reached at all.
func checkTLS(ctx context.Context, host string, config *tls.Config) (why, fix string) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return "", ""
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if config == nil {
		// Nothing is sent over this connection but the handshake.
		if tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}).HandshakeContext(ctx) != nil {
			return "", ""
		}
		return "it requires TLS", "set store.etcd_use_tls, and store.etcd_ca_certificate_file if its certificate is of an authority of your own"
	}
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(host)
	}
	secured := tls.Client(conn, config)
	err = secured.HandshakeContext(ctx)
	if err == nil {
		// Since TLS 1.3 a server refuses a certificate after the handshake.
		_, err = secured.Read(make([]byte, 1))
	}
	header, notTLS := errors.AsType[tls.RecordHeaderError](err)
	alert, refused := errors.AsType[*net.OpError](err)
	certificate, invalid := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case notTLS && header.Conn != nil:
		return "it does not speak TLS", "unset store.etcd_use_tls, or give etcd a certificate"
	case invalid:
		return certificate.Err.Error(), "check store.etcd_ca_certificate_file, and that the certificate of etcd has the name in store.etcd_hosts"
	case refused && alert.Op == "remote error":
		return "it refused the TLS connection: " + alert.Err.Error(), "check store.etcd_certificate_file and store.etcd_private_key_file"
	}
	return "", ""
}
