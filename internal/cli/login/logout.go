package login

import (
	"errors"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Logout is `ruedo logout`.
type Logout struct {
	All bool `help:"End all sessions and tokens of the user, on all machines."`
}

// Help is the part of the help that comes after the first line.
func (*Logout) Help() string {
	return `The session ends on the cluster, and its token is removed from this machine. The
profile stays. With --all, every token of the user ends with it, also those that
programs use.`
}

// Examples returns the examples in the help.
func (*Logout) Examples() []string {
	return []string{"ruedo logout", "ruedo --profile prod logout", "ruedo logout --all"}
}

// Run logs out.
func (c *Logout) Run(s *session.Session) error {
	name, err := own(s)
	if err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	if c.All {
		_, err = core.Tokens.EndTokens(s.Ctx, &ruedov1.EndTokensRequest{})
	} else {
		_, err = core.Login.Logout(s.Ctx, &ruedov1.LogoutRequest{})
	}
	ended := errors.Is(err, fault.Unauthenticated)
	if err != nil && !ended {
		return err
	}
	if err := s.Tokens().Delete(name); err != nil {
		return err
	}
	switch {
	case ended && c.All:
		return fault.New(fault.Unauthenticated, "the session of profile %s had ended before, so the others were not", name)
	case ended:
		return s.Printf("logged out of %s, where the session had ended before", name)
	case c.All:
		return s.Printf("logged out of %s; all other sessions and tokens of the user have ended, too", name)
	}
	return s.Printf("logged out of %s", name)
}

// own returns the profile whose token commands show. It fails if they show another
// one, which this program did not get and does not keep.
func own(s *session.Session) (string, error) {
	cred, err := s.Credential()
	switch {
	case err != nil:
		return "", err
	case cred == nil:
		return "", fault.New(fault.Usage, "nobody is logged in here").WithFix("ruedo login")
	case cred.Profile == "":
		return "", fault.New(fault.Usage, "this shows the token from %s, and not that of a login", cred.Origin).
			WithFix("leave that out; or end that token: ruedo delete token ID")
	}
	return cred.Profile, nil
}
