package core

import (
	"context"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// missing returns the error for a name that does not exist.
func (c *Core) missing(ctx context.Context, noun access.Noun, name string) error {
	if noun == access.Runner {
		return c.cordons.Missing(ctx, name) // which can be away, or have a name besides its id
	}
	return c.store.Missing(ctx, noun, name)
}

// denied is told of what was refused to a caller.
func (c *Core) denied(ctx context.Context, action, noun, name string, reason fault.Reason) {
	c.metrics.Denied(reason)
	if c.cfg.Denied != nil {
		c.cfg.Denied(ctx, action, noun, name, reason)
	}
}

// peerToken returns what this core shows to others, "" if they ask nobody.
func (c *Core) peerToken() string {
	if c.cfg.PeerKey == nil {
		return ""
	}
	key := c.cfg.PeerKey()
	if key == nil {
		return ""
	}
	return token.SignCore(key, c.ID(), time.Now())
}

// visibleServices returns which services the request of a context may read.
func visibleServices(ctx context.Context) func(service string) bool {
	return access.Visible(ctx, access.Service)
}
