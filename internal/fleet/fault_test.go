package fleet_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
)

// What is wrong with TLS is said, not only that the store does not answer.
func TestAFaultOfTLSSaysItsCause(t *testing.T) {
	serve := func(auth tls.ClientAuthType, secure bool) (host string, known *x509.CertPool) {
		srv := httptest.NewUnstartedServer(nil)
		srv.EnableHTTP2 = true
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.TLS = &tls.Config{ClientAuth: auth, MinVersion: tls.VersionTLS12}
		known = x509.NewCertPool()
		if secure {
			srv.StartTLS()
			known.AddCert(srv.Certificate())
		} else {
			srv.Start()
		}
		t.Cleanup(srv.Close)
		return srv.Listener.Addr().String(), known
	}
	host, known := serve(tls.NoClientCert, true)
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	strict, strictCA := serve(tls.RequireAnyClientCert, true)
	plain, _ := serve(tls.NoClientCert, false)
	for name, tt := range map[string]struct {
		host string
		tls  *tls.Config
		says string
	}{
		"an unknown authority": {host, &tls.Config{}, "does not answer: x509: certificate signed by unknown authority"},
		"another name":         {"localhost:" + port, &tls.Config{RootCAs: known}, "not localhost"},
		"no certificate":       {strict, &tls.Config{RootCAs: strictCA}, "it refused the TLS connection: tls: certificate required"},
		"no TLS here":          {host, nil, "it requires TLS"},
		"no TLS there":         {plain, &tls.Config{}, "it does not speak TLS"},
		"nothing there":        {"127.0.0.1:1", &tls.Config{}, "the store at 127.0.0.1:1 does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.tls != nil {
				tt.tls.MinVersion = tls.VersionTLS12
			}
			c, err := fleet.Open(fleet.Config{Hosts: []string{tt.host}, TLS: tt.tls, Cluster: "c", OpTimeout: 500 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.CheckFormat(t.Context())
			if !errors.Is(err, fault.StoreUnavailable) || !strings.Contains(err.Error(), tt.says) || fault.FromError(err).Fix == "" {
				t.Errorf("%v, want %q", err, tt.says)
			}
		})
	}
}
