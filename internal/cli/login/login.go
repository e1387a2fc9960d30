// Package login is the commands about who the user is: login, logout, whoami, passwd
// and can.
//
// A login ends in a profile, which names the cores, the cluster and its authority, and
// a token, which only its owner can read. Secrets are asked for without echo, or read
// from stdin: no argument is one.
package login

import (
	"cmp"
	"errors"
	"regexp"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// Login is `ruedo login`.
type Login struct {
	URL       string `arg:"" optional:"" help:"A core of the cluster. Default: that of the link or of the profile."`
	User      string `arg:"" optional:"" help:"Name of the user. Default: that of the profile."`
	WithToken bool   `help:"Log in with a token instead of a password."`
	Pin       string `placeholder:"PIN" help:"Believe the authority with this pin, which somebody whom you trust has told you."`

	CertificateFile string `placeholder:"FILE" setting:"client.certificate_file"`
	PrivateKeyFile  string `placeholder:"FILE" setting:"client.private_key_file"`
}

// Help is the part of the help that comes after the first line.
func (*Login) Help() string {
	return `Without a URL, it asks for the link that ruedo create user or ruedo create invite has
printed. The link names the cluster and its authority; then you choose a password of at
least 12 characters. With a URL and a user, it asks for the password. If nothing says
that the core can be believed, it shows the pin of its authority and asks you to compare
it.

The login is kept as a profile with the name of the cluster, or of --profile, and used by
the commands that follow. It ends after 24 hours, or with ruedo logout. A client
certificate, for cores that ask for one, is named in the profile.

Without a terminal, the link, the password or the token is read from stdin; a link is
followed by the new password, on a line of its own.`
}

// Examples returns the examples in the help.
func (*Login) Examples() []string {
	return []string{
		"ruedo login                                       asks for a link",
		"ruedo login https://core-1:7833 ada               asks for a password",
		"ruedo login --profile prod < link",
		"ruedo login https://core-1:7833 --with-token < token",
	}
}

// pinPattern is what the pin of an authority looks like.
var pinPattern = regexp.MustCompile(`^[a-z2-7]{52}$`)

// Run logs in.
func (c *Login) Run(s *session.Session) error {
	for _, arg := range []string{c.URL, c.User} {
		if strings.Contains(arg, "#") || strings.Contains(arg, "ruedo_") {
			return fault.New(fault.Usage, "a link and a token are secrets: others on this machine can read arguments").
				WithFix("ruedo login, and paste it when it asks; a link that was an argument is best replaced")
		}
	}
	if c.Pin != "" && !pinPattern.MatchString(c.Pin) {
		return fault.New(fault.Usage, "--pin %s is not a pin: 52 characters of a-z and 2-7 are expected", fault.Cut(c.Pin, 64)).
			WithFix("copy what ruedo get authority shows on the machine of the core")
	}
	if c.WithToken && c.User != "" {
		return fault.New(fault.Usage, "the token says who the user is").WithFix("ruedo login %s --with-token", c.URL)
	}
	if c.URL == "" && !c.WithToken {
		known, err := c.again(s)
		if err != nil {
			return err
		}
		what := "Link"
		if known {
			what = "Link, or Enter for the password of " + c.User
		}
		link, err := s.Secret(what)
		if err != nil {
			return err
		}
		if link != "" || !known {
			return c.accept(s, strings.TrimSpace(link))
		}
	}
	at, err := c.cluster(s)
	if err != nil {
		return err
	}
	if c.WithToken {
		return c.token(s, at)
	}
	return c.password(s, at)
}

// again takes the URL and the user from the profile, and reports whether there are any.
// A terminal can ask what is meant; what is piped in is a link.
func (c *Login) again(s *session.Session) (bool, error) {
	target, err := s.Settings.Target()
	if errors.Is(err, fault.ProfileNotFound) { // the login makes it
		return false, nil
	}
	if err != nil || target.Profile == nil || target.Profile.User == "" || !session.Terminal(s.In) {
		return false, err
	}
	c.User = target.Profile.User
	return true, nil
}

// accept logs in with an invite.
func (c *Login) accept(s *session.Session, text string) error {
	link, err := token.ParseLink(token.Invite, text)
	if err != nil {
		return err
	}
	c.URL, c.Pin = link.URL, cmp.Or(link.Pin, c.Pin)
	at, err := c.cluster(s)
	if err != nil {
		return err
	}
	to, err := at.profile(s) // before the invite is used: it is good once
	if err != nil {
		return err
	}
	password, err := newPassword(s)
	if err != nil {
		return err
	}
	res, err := at.client().Login.AcceptInvite(s.Ctx, &ruedov1.AcceptInviteRequest{Invite: link.Token.Reveal(), Password: password})
	if err != nil {
		return err
	}
	said := []string{"password set"}
	if link.Pin != "" {
		said = []string{"authority pinned", "password set"}
	}
	return to.keep(s, at, res.GetSecret(), res.GetToken().GetExpireTime(), said...)
}

// password logs in with a password.
func (c *Login) password(s *session.Session, at *cluster) error {
	if c.User == "" {
		return fault.New(fault.Usage, "no user is named").WithFix("ruedo login %s USER", at.url)
	}
	to, err := at.profile(s)
	if err != nil {
		return err
	}
	password, err := s.Secret("Password of " + c.User)
	if err != nil {
		return err
	}
	res, err := at.client().Login.Login(s.Ctx, &ruedov1.LoginRequest{User: c.User, Password: password})
	if err != nil {
		if errors.Is(err, fault.Unauthenticated) {
			return fault.Wrap(err, fault.Unauthenticated, "the cluster does not accept this user and password").
				WithFix("type both again; if the password is forgotten, have an administrator run: ruedo create invite %s", c.User)
		}
		return err
	}
	return to.keep(s, at, res.GetSecret(), res.GetToken().GetExpireTime())
}

// token logs in with a token.
func (c *Login) token(s *session.Session, at *cluster) error {
	text, err := s.Secret("Token")
	if err != nil {
		return err
	}
	text = strings.TrimSpace(text)
	if _, err := token.Parse(token.Bearer, text); err != nil {
		return err
	}
	to, err := at.profile(s)
	if err != nil {
		return err
	}
	return to.keep(s, at, text, nil)
}

// newPassword asks for a password that is set. On a terminal it asks twice, since
// nothing of it is seen.
func newPassword(s *session.Session) (string, error) {
	password, err := s.Secret("New password")
	if err != nil || !session.Terminal(s.In) {
		return password, err
	}
	again, err := s.Secret("The same again")
	if err == nil && again != password {
		err = fault.New(fault.Usage, "these are two different passwords, so nothing was changed")
	}
	return password, err
}

// say prints who has logged in.
func say(s *session.Session, to *target, me *ruedov1.WhoAmIResponse, expires *timestamppb.Timestamp, before []string) error {
	switch {
	case s.Print.Format == output.Name:
		return s.Printf("%s", to.name)
	case !s.Print.ForPeople():
		return s.Print.Value(map[string]any{
			"profile": to.name, "cluster_id": me.GetCluster(), "principal": me.GetPrincipal(), "roles": append([]string{}, me.GetRoles()...), "expire_time": rfc3339(expires),
		})
	}
	_, user, _ := strings.Cut(me.GetPrincipal(), "/")
	text := "logged in to " + me.GetCluster() + " as " + user
	if roles := me.GetRoles(); len(roles) > 0 {
		text += " (" + strings.Join(roles, ", ") + ")"
	}
	if expires != nil {
		text += " until " + output.Moment(expires.AsTime())
	}
	return s.Printf("%s", output.Safe(strings.Join(append(before, text), " · ")))
}
