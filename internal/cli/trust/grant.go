package trust

import (
	"errors"
	"slices"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// grants are the arguments of grant and revoke.
type grants struct {
	User   string   `arg:"" complete:"user" help:"Name of the user, or anonymous for whoever is not logged in."`
	Grants []string `arg:"" name:"grant" help:"role:NAME, or a verb, a noun and a pattern as one word, for example 'call service team-a-*'. May be repeated."`
}

// Grant is `ruedo grant`.
type Grant struct{ grants }

// Help is the part of the help that comes after the first line.
func (*Grant) Help() string {
	return `Verbs are read, write, call, use, execute and *; nouns are service, decorator, runner,
user, role, cluster, audit and *. A pattern is a name, a prefix that ends in a hyphen
with a star, or a star. Nobody can give away more than they hold.`
}

// Examples returns the examples in the help.
func (*Grant) Examples() []string {
	return []string{"ruedo grant ada role:publisher 'use decorator team-a-*'", "ruedo grant anonymous 'call service public-*'"}
}

// Run adds roles and grants to a user.
func (c *Grant) Run(s *session.Session) error {
	return c.change(s, "granted to", func(u *ruedov1.User) error {
		for _, text := range c.Grants {
			list, item, err := c.list(u, text)
			if err != nil {
				return err
			}
			if !slices.Contains(*list, item) {
				*list = append(*list, item)
			}
		}
		return nil
	})
}

// Revoke is `ruedo revoke`.
type Revoke struct{ grants }

// Help is the part of the help that comes after the first line.
func (*Revoke) Help() string {
	return `The user loses them immediately, on every core, and so do the user's tokens.`
}

// Examples returns the examples in the help.
func (*Revoke) Examples() []string {
	return []string{"ruedo revoke ada role:publisher", "ruedo revoke anonymous 'call service public-*'"}
}

// Run takes roles and grants away from a user.
func (c *Revoke) Run(s *session.Session) error {
	return c.change(s, "revoked from", func(u *ruedov1.User) error {
		for _, text := range c.Grants {
			list, item, err := c.list(u, text)
			if err != nil {
				return err
			}
			i := slices.Index(*list, item)
			if i < 0 {
				return fault.New(fault.Usage, "user %s does not have %s itself", c.User, text).WithFix("ruedo describe user %s", c.User)
			}
			*list = slices.Delete(*list, i, i+1)
		}
		return nil
	})
}

// list returns where a user has what an argument names, and how it is written there.
func (c *grants) list(u *ruedov1.User, text string) (list *[]string, item string, err error) {
	if role, ok := strings.CutPrefix(text, "role:"); ok {
		return &u.Roles, role, nil
	}
	g, err := access.Parse(text)
	return &u.Grants, g.String(), err
}

// maxChanges is how often a change of a user is tried that somebody else changes at
// the same time.
const maxChanges = 5

// change changes a user as it is now.
func (c *grants) change(s *session.Session, done string, change func(*ruedov1.User) error) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	var u *ruedov1.User
	for range maxChanges {
		if u, err = c.once(s, core, change); !errors.Is(err, fault.Conflict) {
			break
		}
	}
	if err != nil {
		return session.About(err, "user %s", c.User)
	}
	if done, err := s.PrintMessage(u, c.User); done {
		return err
	}
	return s.Printf("%s %s: %s", done, c.User, output.Safe(strings.Join(c.Grants, ", ")))
}

func (c *grants) once(s *session.Session, core *client.Client, change func(*ruedov1.User) error) (*ruedov1.User, error) {
	res, err := core.Users.GetUser(s.Ctx, &ruedov1.GetUserRequest{Name: c.User})
	u := res.GetUser()
	create := c.User == access.Anonymous && errors.Is(err, fault.UserNotFound)
	if create { // it is there from its first grant
		u, err = &ruedov1.User{Name: c.User, Machine: true}, nil
	}
	if err == nil {
		err = change(u)
	}
	switch {
	case err != nil:
		return nil, err
	case create:
		res, err := core.Users.CreateUser(s.Ctx, &ruedov1.CreateUserRequest{User: u})
		return res.GetUser(), err
	}
	changed, err := core.Users.UpdateUser(s.Ctx, &ruedov1.UpdateUserRequest{User: u})
	return changed.GetUser(), err
}
