package core

import (
	"github.com/ruedo-dev/ruedo/core/login"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/internal/access"
)

// newLogin returns what keeps the users of the cluster, and lets them in.
func (c *Core) newLogin(people *principals.Principals) *login.Login {
	return login.New(login.Config{
		Store: people, Mirror: c.mirror, Missing: c.store.Missing, Check: access.Check,
		Cluster: c.cfg.Cluster, Version: c.cfg.Version, URL: c.URL, Pin: c.cfg.Pin, Session: c.cfg.Session,
	})
}
