package core

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"os"
	"slices"

	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/trust"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/loopback"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/seal"
	"github.com/ruedo-dev/ruedo/internal/socket"
)

// Login says who may use a cluster.
type Login struct {
	// New is what a cluster that is new gets: whether callers have to log in.
	New bool
	// Strict refuses a cluster that has it otherwise, with CLUSTER_MISMATCH.
	Strict bool
	// Seal says where the key is that opens the secrets of a cluster with logins. If
	// the cluster is new, the key is made.
	Seal seal.Source
	// AdminToken is good, with the role admin, as long as no user has that role: it is
	// stored then like any other. Default: there is none.
	AdminToken string
}

// TLS says how a core's ports are encrypted.
type TLS struct {
	// Pair is the certificate for clients that do not trust the cluster's own
	// authority. Required if nobody has to log in to the cluster, which has none then.
	Pair *pki.Pair
	// Lock has clients show a certificate. Default: none is asked for.
	Lock *pki.Lock
	// Names are host names and addresses in the certificates of the cluster's own
	// authority, besides those that the core knows itself.
	Names []string
}

// openTrust finds out whether callers have to log in, and opens what the cluster then
// seals and certifies with.
func (c *Core) openTrust(ctx context.Context) (err error) {
	c.principals = principals.New(principals.Config{Cluster: c.store.Cluster(), Guard: c.store.Guard(), Missing: c.store.Missing})
	c.trust, err = trust.Open(access.WithPrincipal(ctx, "core/"+c.ID()), trust.Config{
		Principals: c.principals, Space: c.store.Cluster().Space(),
		Seal: c.cfg.Login.Seal, Login: c.cfg.Login.New, Strict: c.cfg.Login.Strict, Logger: c.log,
	})
	if err != nil {
		return err
	}
	return c.checkExposure()
}

// auditKey returns the key of the records of the audit; nil before the trust is open.
func (c *Core) auditKey() []byte {
	if c.trust == nil {
		return nil
	}
	return c.trust.AuditKey()
}

// checkExposure refuses to listen where others can read or control what they must
// not, unless that was asked for.
func (c *Core) checkExposure() error {
	for _, l := range []net.Listener{c.listener, c.appsAt} {
		if l == nil || loopback.Is(l.Addr().String()) {
			continue
		}
		err := c.exposed(l.Addr().String())
		switch {
		case err == nil:
		case !c.cfg.Insecure:
			return err
		default:
			c.log.Warn("INSECURE: "+err.Message, "fix", "log in, with TLS")
		}
	}
	return nil
}

// exposed returns what is wrong with listening on an address that others can reach.
func (c *Core) exposed(addr string) *fault.Error {
	switch {
	case c.trust.CoreKey() == nil:
		return fault.New(fault.ConfigInvalid, "listening on %s is refused: nobody has to log in to this cluster, so anyone who can reach the port controls it", addr).
			WithFix("listen on 127.0.0.1, have callers log in, or pass --insecure-listen if you trust everyone on the network")
	case c.cfg.TLS == nil:
		return fault.New(fault.ConfigInvalid, "listening on %s is refused: without TLS, anyone on the way can read passwords and tokens", addr).
			WithFix("leave tls.mode at auto, or pass --insecure-listen if a proxy in front of the core has TLS")
	}
	return nil
}

// openDoors prepares TLS and the socket.
func (c *Core) openDoors() (err error) {
	if c.listener == nil {
		return nil
	}
	if c.cfg.TLS != nil {
		if c.tls, err = c.serverTLS(*c.cfg.TLS); err != nil {
			return err
		}
	}
	if c.cfg.Socket == nil {
		return nil
	}
	at := *c.cfg.Socket
	at.Logger = c.log
	if addr, ok := c.listener.Addr().(*net.TCPAddr); ok {
		at.Port = addr.Port
	}
	if c.socket, err = socket.Listen(at); err != nil {
		return err
	}
	c.onClose("the socket", func(context.Context) error {
		_ = c.socket.Close() // closed already if Serve ran
		return nil
	})
	return nil
}

func (c *Core) serverTLS(cfg TLS) (*tls.Config, error) {
	server := pki.ServerConfig{Pair: cfg.Pair, Lock: cfg.Lock}
	if c.trust.CoreKey() != nil {
		leaves, err := pki.NewLeaves(pki.LeavesConfig{Authorities: c.trust.Authorities, Core: c.ID(), Names: c.names(cfg.Names)})
		if err != nil {
			return nil, err
		}
		server.Leaves = leaves
	}
	if server.Leaves == nil && server.Pair == nil {
		return nil, fault.New(fault.ConfigInvalid, "TLS is on, but there is no certificate: nobody has to log in to this cluster, so it has no authority of its own").
			WithFix("set tls.certificate_file and tls.private_key_file")
	}
	return pki.Server(server), nil
}

// names returns the names by which this core is reached.
func (c *Core) names(more []string) []string {
	list := append([]string{"localhost", "127.0.0.1", "::1"}, more...)
	if host, err := os.Hostname(); err == nil {
		list = append(list, host)
	}
	if u, err := url.Parse(c.cfg.URL); err == nil && u.Hostname() != "" {
		list = append(list, u.Hostname())
	}
	if addr, ok := c.listener.Addr().(*net.TCPAddr); ok && !addr.IP.IsUnspecified() {
		list = append(list, addr.IP.String())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// scheme returns the scheme of the URLs of this core.
func (cfg Config) scheme() string {
	if cfg.TLS != nil {
		return "https://"
	}
	return "http://"
}
