package core

import (
	"context"
	"io"

	"github.com/ruedo-dev/ruedo/core/login"
	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/core/users"
	"github.com/ruedo-dev/ruedo/internal/access"
)

// openLogin makes what keeps the users of the cluster, and what lets them in. It stores
// the token of an installation that has no administrator yet.
func (c *Core) openLogin(ctx context.Context) error {
	c.users = users.New(users.Config{
		Store: c.principals, Mirror: c.mirror, Missing: c.missing, Check: c.auth.Check,
		Cluster: c.cfg.Cluster, URL: c.URL, Pin: c.pin, Session: c.cfg.Session,
		Denied: c.denied, PreviousUsed: c.auth.PreviousUsed,
	})
	c.login = login.New(login.Config{
		Users: c.users, Store: c.principals, Cluster: c.cfg.Cluster, Version: c.cfg.Version, Pin: c.pin,
		Denied: c.denied, Hasher: c.cfg.Login.Hasher,
	})
	c.onClose("the processes that hash passwords", func(context.Context) error { c.login.Close(); return nil })
	if c.cfg.Login.AdminToken == "" || c.trust.CoreKey() == nil {
		return nil
	}
	adopted, err := c.users.Adopt(access.WithPrincipal(ctx, "core/"+c.ID()), c.cfg.Login.AdminToken)
	if adopted {
		c.log.Info("the token of auth.admin_token_file has the role admin", "core", c.ID())
	}
	return err
}

// HashChild is all that the process does that hashes passwords; see Login.Hasher. The
// caller must exit with the result.
func HashChild(stdin io.Reader, stdout io.Writer) int { return password.Child(stdin, stdout) }

// pin returns the pin of the authority that certifies this core's port; "" if none does.
func (c *Core) pin() string {
	if c.doors.TLS == nil {
		return ""
	}
	return c.trust.Pin()
}
