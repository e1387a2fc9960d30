package assemble

import (
	"crypto/x509"
	"net"
	"os"
	"slices"
	"strconv"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/runner/egress"
)

// egress returns what bounds the network of services.
func (a *Assembler) egress() (egress.Config, error) {
	s := a.Settings
	cfg := egress.Config{Deny: s.Runner.EgressDeny, Own: slices.Concat(s.Store.EtcdHosts, s.Store.Peers, s.Store.Join)}
	if s.Server.Port != 0 {
		cfg.Own = append(cfg.Own, ":"+strconv.Itoa(s.Server.Port))
	}
	if _, p, err := net.SplitHostPort(s.Server.AppsListen); err == nil && p != "0" {
		cfg.Own = append(cfg.Own, ":"+p)
	}
	if s.Store.PeerAddress != "" || len(s.Store.Peers) > 0 || len(s.Store.Join) > 0 {
		peerPort := defaultPeerPort
		if _, p, err := net.SplitHostPort(s.Store.PeerAddress); err == nil {
			peerPort = p
		}
		cfg.Own = append(cfg.Own, ":"+peerPort)
	}
	file := s.Runner.EgressCA
	if file == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return cfg, fault.Wrap(err, fault.ConfigInvalid, "runner.egress_ca %s cannot be read: %s", file, text.Cause(err))
	}
	if cfg.RootCAs, err = x509.SystemCertPool(); err != nil {
		cfg.RootCAs = x509.NewCertPool() // a system without certificates
	}
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return cfg, fault.New(fault.ConfigInvalid, "runner.egress_ca %s contains no PEM certificate", file)
	}
	return cfg, nil
}
