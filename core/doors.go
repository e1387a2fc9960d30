package core

import (
	"context"
	"net"
	"strings"

	"github.com/ruedo-dev/ruedo/core/door"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/trust"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/seal"
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
	// Hasher starts a process of this program that hashes passwords: a program and its
	// arguments, which only calls [HashChild]. Empty: this process hashes them itself.
	Hasher []string
}

// openTrust finds out whether callers have to log in, and opens what the cluster then
// seals and certifies with.
func (c *Core) openTrust(ctx context.Context) (err error) {
	c.principals = principals.New(principals.Config{Cluster: c.store.Cluster(), Guard: c.store.Guard(), Missing: c.store.Missing})
	c.trust, err = trust.Open(access.WithPrincipal(ctx, "core/"+c.ID()), trust.Config{
		Principals: c.principals, Space: c.store.Cluster().Space(),
		Seal: c.cfg.Login.Seal, Login: c.cfg.Login.New, Strict: c.cfg.Login.Strict, Logger: c.log,
	})
	return err
}

// auditKey returns the key of the records of the audit; nil before the trust is open.
func (c *Core) auditKey() []byte {
	if c.trust == nil {
		return nil
	}
	return c.trust.AuditKey()
}

// settleURL leaves out TLS that is optional and has nothing to certify with, and then
// completes the URL of this core.
func (c *Core) settleURL() {
	if t := c.cfg.TLS; t != nil && t.Optional && t.Pair == nil && c.trust.CoreKey() == nil {
		c.cfg.TLS = nil
	}
	if c.cfg.URL == "" && c.listener != nil {
		c.cfg.URL = c.listener.Addr().String()
	}
	if c.cfg.URL != "" && !strings.Contains(c.cfg.URL, "://") {
		c.cfg.URL = c.cfg.scheme() + c.cfg.URL
	}
	c.self.Url = c.cfg.URL
}

// openDoors prepares TLS and the socket.
func (c *Core) openDoors() (err error) {
	if c.listener == nil {
		return nil
	}
	ports := []net.Listener{c.listener}
	if c.appsAt != nil {
		ports = append(ports, c.appsAt)
	}
	c.doors, err = door.Open(door.Config{
		Core: c.ID(), URL: c.URL(), Listeners: ports, Login: c.trust.CoreKey() != nil, Authorities: c.trust.Authorities,
		TLS: c.cfg.TLS, Socket: c.cfg.Socket, Insecure: c.cfg.Insecure, Logger: c.log,
	})
	if c.doors.Socket != nil {
		c.onClose("the socket", func(context.Context) error {
			_ = c.doors.Socket.Close() // closed already if Serve ran
			return nil
		})
	}
	return err
}

// scheme returns the scheme of the URLs of this core.
func (cfg Config) scheme() string {
	if cfg.TLS != nil {
		return "https://"
	}
	return "http://"
}

// Socket returns the path of the core's unix socket; "" if it has none.
func (c *Core) Socket() string {
	if c.doors.Socket == nil {
		return ""
	}
	return c.doors.Socket.Path()
}
