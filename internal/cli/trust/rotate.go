package trust

import (
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// Rotate is `ruedo rotate`.
type Rotate struct {
	Token     RotateToken     `cmd:"" help:"Give a token a new secret, and print it, once."`
	Authority RotateAuthority `cmd:"" help:"Give the cluster a new certificate authority."`
}

// RotateToken is `ruedo rotate token`.
type RotateToken struct {
	ID      string `arg:"" name:"id" complete:"token" help:"Id of the token."`
	Grace   span   `placeholder:"DURATION" help:"How long the old secret is still good, at most 7d. Default: not at all."`
	Expires span   `placeholder:"DURATION" help:"How long the token is good from now on. Default: as long as before."`
}

// Help is the part of the help that comes after the first line.
func (*RotateToken) Help() string {
	return `Replace the secret where it is used, within the grace; ruedo get tokens shows whether
somebody still shows the old one.`
}

// Examples returns the examples in the help.
func (*RotateToken) Examples() []string {
	return []string{"ruedo rotate token 7kq2m5x4tb --grace 24h > ci.token"}
}

// Run gives the token a new secret.
func (c *RotateToken) Run(s *session.Session) error {
	if err := keepable(s, "the secret"); err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	cred, err := s.Credential()
	if err != nil {
		return err
	}
	own := false // it is the token of the profile
	if cred != nil && cred.Profile != "" {
		text, err := s.Tokens().Load(cred.Profile)
		if err != nil {
			return err
		}
		t, err := token.Parse(token.Bearer, strings.TrimSpace(text))
		own = err == nil && t.ID() == c.ID
	}
	res, err := core.Tokens.RotateToken(s.Ctx, &ruedov1.RotateTokenRequest{Id: c.ID, Grace: c.Grace.proto(), Lifetime: c.Expires.proto()})
	if err != nil {
		return session.About(err, "token %s", c.ID)
	}
	if own {
		if err := s.Tokens().Save(cred.Profile, res.GetSecret()); err != nil {
			return err
		}
		s.Progressf("profile %s has the new secret", cred.Profile)
	}
	if done, err := s.PrintMessage(res, c.ID); done {
		return err
	}
	return sayToken(s, res)
}

// RotateAuthority is `ruedo rotate authority`.
type RotateAuthority struct {
	Yes bool `short:"y" help:"Do not ask for confirmation."`
}

// Help is the part of the help that comes after the first line.
func (*RotateAuthority) Help() string {
	return `The old authority vouches for the new one for 30 days. Whoever uses a profile within that
time has the new one from then on; others need a link, or the new certificate.`
}

// Examples returns the examples in the help.
func (*RotateAuthority) Examples() []string { return []string{"ruedo rotate authority"} }

// Run gives the cluster a new authority.
func (c *RotateAuthority) Run(s *session.Session) error {
	if err := s.Confirm(c.Yes, "Give the cluster a new certificate authority?"); err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Authority.RotateAuthority(s.Ctx, &ruedov1.RotateAuthorityRequest{})
	if err != nil {
		return err
	}
	a := res.GetAuthority()
	if done, err := s.PrintMessage(res, a.GetPin()); done {
		return err
	}
	return s.Printf("the authority has the pin %s; the one before is good until %s", a.GetPin(), until(a.GetBridgeUntil()))
}
