package core

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// missing returns the error for a name that does not exist.
func (c *Core) missing(ctx context.Context, noun access.Noun, name string) error {
	if noun == access.Runner {
		return c.cordons.Missing(ctx, name) // which can be away, or have a name besides its id
	}
	return c.store.Missing(ctx, noun, name)
}

// denied counts and records a request that was refused.
func (c *Core) denied(ctx context.Context, action, noun, name string, reason fault.Reason) {
	c.metrics.Denied(reason)
	c.audit.Denied(ctx, action, noun, name, reason)
}

// peerToken returns what this core shows to others, "" in a cluster without logins.
func (c *Core) peerToken() string {
	if key := c.trust.CoreKey(); key != nil {
		return token.SignCore(key, c.ID(), time.Now())
	}
	return ""
}

// peerTLS returns the configuration of connections to other cores, which trust the
// authority of the cluster; nil if it has none.
func (c *Core) peerTLS() *tls.Config {
	if c.trust.CoreKey() == nil {
		return nil
	}
	return pki.Trusting(func() (certs []*x509.Certificate) {
		for _, a := range c.trust.Authorities() {
			certs = append(certs, a.Certificate())
		}
		return certs
	}, nil)
}

// visibleServices returns which services the request of a context may read.
func visibleServices(ctx context.Context) func(service string) bool {
	return access.Visible(ctx, access.Service)
}
