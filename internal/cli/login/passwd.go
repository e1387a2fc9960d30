package login

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// Passwd is `ruedo passwd`.
type Passwd struct{}

// Help is the part of the help that comes after the first line.
func (*Passwd) Help() string {
	return `Asks for the password, and for another one of at least 12 characters. All other sessions
and tokens of the user end. Without a terminal, both are read from stdin, each on a line
of its own. If you have forgotten the password, an administrator makes a link for you:
ruedo create invite USER.`
}

// Examples returns the examples in the help.
func (*Passwd) Examples() []string { return []string{"ruedo passwd"} }

// Run changes the password.
func (*Passwd) Run(s *session.Session) error {
	name, err := own(s)
	if err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	old, err := s.Secret("Password")
	if err != nil {
		return err
	}
	password, err := newPassword(s)
	if err != nil {
		return err
	}
	res, err := core.Login.ChangePassword(s.Ctx, &ruedov1.ChangePasswordRequest{Password: old, NewPassword: password})
	if err != nil {
		return err
	}
	if err := s.Tokens().Save(name, res.GetSecret()); err != nil {
		return err
	}
	return s.Printf("password changed; all other sessions and tokens of %s have ended", res.GetToken().GetUser())
}
