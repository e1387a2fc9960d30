package login

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/users/holdings"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// maxSessions bounds the sessions of a user; the oldest ends.
const maxSessions = 20

// Hello says which cluster this is. STORE_RESTORING while nothing is known.
func (l *Login) Hello() (*ruedov1.HelloResponse, error) {
	v := l.users.View()
	return &ruedov1.HelloResponse{Cluster: l.cfg.Cluster, Version: l.cfg.Version, Pin: l.cfg.Pin(), Login: v.Access().GetLogin()}, v.Unread()
}

// Login makes a session. Whatever is wrong, it costs the same work and is the same
// error.
//
// Errors: UNAUTHENTICATED, LOGIN_LIMIT; the store's.
func (l *Login) Login(ctx context.Context, user, pass string) (*ruedov1.Token, token.Token, error) {
	v := l.users.View()
	if err := v.Unread(); err != nil {
		return nil, token.Token{}, err
	}
	u := v.Users[user]
	hash, known := "", ""
	if u != nil {
		known = user // what somebody has typed there may be a password
		if !u.GetUser().GetMachine() && !u.GetUser().GetDisabled() {
			hash = u.GetPassword()
		}
	}
	if err := l.matches(ctx, "login", user, known, pass, hash); err != nil {
		return nil, token.Token{}, err
	}
	t := token.New(token.Bearer)
	return l.session(as(ctx, user, t.ID()), user, t, func(v holdings.View, b *principals.Batch) error {
		if now := v.Users[user]; now.GetPassword() != hash || now.GetUser().GetDisabled() {
			return l.refused(ctx, "login", known, wrong())
		}
		b.Change = chain.Change{Action: "login", Noun: "user", Name: user}
		return nil
	})
}

// ChangePassword replaces the password of the caller, ends all of the caller's sessions
// and tokens, and makes a new session.
//
// Errors: UNAUTHENTICATED, PASSWORD_WEAK, LOGIN_LIMIT, REQUEST_INVALID if the caller
// has no password; the store's.
func (l *Login) ChangePassword(ctx context.Context, old, pass string) (*ruedov1.Token, token.Token, error) {
	r, err := access.Caller(ctx)
	if err != nil {
		return nil, token.Token{}, err
	}
	name := r.User()
	u := l.users.View().Users[name]
	if u == nil || u.GetUser().GetMachine() {
		return nil, token.Token{}, fault.New(fault.RequestInvalid, "%s has no password", r.Name).WithFix("log in as a user who has one")
	}
	if err := l.matches(ctx, "password", name, name, old, u.GetPassword()); err != nil {
		return nil, token.Token{}, err
	}
	if err := password.Check(name, pass); err != nil {
		return nil, token.Token{}, err
	}
	hash, err := l.passwords.Hash(ctx, pass)
	if err != nil {
		return nil, token.Token{}, err
	}
	return l.session(ctx, name, token.New(token.Bearer), func(v holdings.View, b *principals.Batch) error {
		if v.Users[name].GetPassword() != u.GetPassword() {
			return l.refused(ctx, "password", name, wrong())
		}
		b.Change = chain.Change{Action: "password", Noun: "user", Name: name, Summary: "all sessions and tokens end"}
		l.renew(v, b, name, hash)
		return nil
	})
}

// session makes a session with a token, together with what more adds.
func (l *Login) session(ctx context.Context, user string, t token.Token, more func(v holdings.View, b *principals.Batch) error) (*ruedov1.Token, token.Token, error) {
	var made *storev1.Token
	_, err := l.users.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		if err := more(v, &b); err != nil {
			return b, err
		}
		u := v.Users[user]
		if len(b.Users) > 0 {
			u = b.Users[0]
		}
		made = l.users.NewSession(t, v, u)
		b.If = append(b.If, holdings.SeenToken(t.ID(), nil))
		b.Tokens = []*storev1.Token{made}
		if b.Change.Summary == "" {
			b.Change.Summary = "token " + t.ID() + " until " + made.GetToken().GetExpireTime().AsTime().Format(time.RFC3339)
		}
		if len(b.Delete) == 0 {
			b.Delete = oldest(v.TokensOf(user))
		}
		return b, nil
	})
	if err != nil {
		return nil, token.Token{}, err
	}
	l.attempts.succeeded(access.Of(ctx).From)
	return l.users.Shown(made), t, nil
}

// oldest returns the sessions that end because there is one more.
func oldest(tokens []*storev1.Token) []principals.Seen {
	var sessions []*storev1.Token
	for _, t := range tokens {
		if t.GetToken().GetSession() {
			sessions = append(sessions, t)
		}
	}
	return holdings.SeenTokens(sessions[:max(0, len(sessions)-maxSessions+1)])
}

// Logout ends the token that the request shows, if it shows one.
func (l *Login) Logout(ctx context.Context) error {
	r, err := access.Caller(ctx)
	if err != nil || r.Token == "" {
		return err
	}
	_, err = l.users.Change(ctx, func(holdings.View) (principals.Batch, error) {
		return principals.Batch{
			Change: chain.Change{Action: "logout", Noun: "user", Name: r.User(), Summary: "token " + r.Token},
			Delete: []principals.Seen{{Kind: keys.KindToken, Name: r.Token}},
		}, nil
	})
	return err
}

// WhoAmI says who the caller is.
func (l *Login) WhoAmI(ctx context.Context) (*ruedov1.WhoAmIResponse, error) {
	r, err := access.Caller(ctx)
	if err != nil {
		return nil, err
	}
	set := r.Grants
	if r.Narrow != nil {
		set = set.Narrow(r.Narrow)
	}
	res := &ruedov1.WhoAmIResponse{Principal: r.Name, Roles: r.Roles, Grants: set.Strings(), Cluster: l.cfg.Cluster, Time: timestamppb.New(time.Now())}
	if t := l.users.View().Tokens[r.Token]; t != nil {
		res.Token = l.users.Shown(t)
	}
	return res, nil
}

// Can reports whether the caller may do something, for example "write service greet".
// GRANT_INVALID.
func (l *Login) Can(ctx context.Context, text string) (bool, error) {
	r, err := access.Caller(ctx)
	if err != nil {
		return false, err
	}
	g, err := access.Parse(text)
	return err == nil && r.Holds(g), err
}
