package core

import (
	"context"
	"io"

	"github.com/ruedo-dev/ruedo/core/login"
	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/internal/access"
)

// openLogin returns what keeps the users of the cluster, and lets them in. It stores
// the token of an installation that has no administrator yet.
func (c *Core) openLogin(ctx context.Context) (*login.Login, error) {
	l := login.New(login.Config{
		Store: c.principals, Mirror: c.mirror, Missing: c.missing, Check: c.auth.Check,
		Cluster: c.cfg.Cluster, Version: c.cfg.Version, URL: c.URL, Pin: c.pin, Session: c.cfg.Session,
		Denied: c.denied, PreviousUsed: c.auth.PreviousUsed, Hasher: c.cfg.Login.Hasher,
	})
	c.onClose("the processes that hash passwords", func(context.Context) error { l.Close(); return nil })
	if c.cfg.Login.AdminToken == "" || c.trust.CoreKey() == nil {
		return l, nil
	}
	adopted, err := l.Adopt(access.WithPrincipal(ctx, "core/"+c.ID()), c.cfg.Login.AdminToken)
	if adopted {
		c.log.Info("the token of auth.admin_token_file has the role admin", "core", c.ID())
	}
	return l, err
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
