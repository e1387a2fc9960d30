package login

import (
	"context"
	"crypto/subtle"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/login/holdings"
	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// How long invites can be used.
const (
	inviteLifetime    = time.Hour
	maxInviteLifetime = 7 * 24 * time.Hour
)

// invite is an invite that is being made.
type invite struct {
	link   token.Link
	stored *storev1.Link
}

// newInvite makes an invite for a user, and names it as the user's only one.
func (l *Login) newInvite(ctx context.Context, u *storev1.User, asked time.Duration) (*invite, error) {
	r, err := request(ctx)
	if err != nil {
		return nil, err
	}
	life, err := lifetime(asked, inviteLifetime, maxInviteLifetime)
	if err != nil {
		return nil, err
	}
	url := l.cfg.URL()
	if url == "" {
		return nil, fault.New(fault.ConfigInvalid, "this core serves no port, so nobody could use an invite").WithFix("create people by a core that serves one, or a program")
	}
	link, err := token.NewLink(url, token.New(token.Invite), l.cfg.Pin())
	if err != nil {
		return nil, err
	}
	hash := link.Token.Hash()
	u.Invite = link.Token.ID()
	return &invite{link, &storev1.Link{
		Use: storev1.Link_USE_INVITE, Hash: hash[:], UsesLeft: 1, ExpireTime: timestamppb.New(time.Now().Add(life)),
		User: u.GetUser().GetName(), Epoch: u.GetEpoch(), CreatedBy: r.Name,
	}}, nil
}

// addTo adds the invite to what is written.
func (i *invite) addTo(b *principals.Batch, v holdings.View) {
	id := i.link.Token.ID()
	i.stored.ClusterEpoch = v.Access().GetEpoch()
	b.If = append(b.If, principals.Seen{Kind: keys.KindLink, Name: id})
	b.Links = map[string]*storev1.Link{id: i.stored}
}

// shown returns the invite with its link; nil if there is none.
func (i *invite) shown() *ruedov1.Invite {
	if i == nil {
		return nil
	}
	return &ruedov1.Invite{Link: i.link.Reveal(), ExpireTime: i.stored.GetExpireTime()}
}

// CreateInvite makes an invite with which a user sets a password, once. The one
// before ends. It can be used for a time; zero means an hour.
//
// Errors: USER_NOT_FOUND, REQUEST_INVALID, GRANT_EXCEEDS if the user holds more than
// the caller; the store's.
func (l *Login) CreateInvite(ctx context.Context, name string, asked time.Duration) (*ruedov1.Invite, error) {
	var inv *invite
	_, err := l.change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		was, err := l.user(ctx, v, name)
		if err != nil {
			return b, err
		}
		u := was.GetUser()
		switch {
		case u.GetMachine():
			return b, fault.New(fault.RequestInvalid, "user %s is a program, which has no password", name).WithFix("create a token for it")
		case u.GetDisabled():
			return b, fault.New(fault.RequestInvalid, "user %s is disabled", name).WithFix("enable the user first")
		}
		if err := l.given(ctx, access.User, name, "whoever uses the invite", v.Held(u)); err != nil {
			return b, err
		}
		next := proto.CloneOf(was)
		if inv, err = l.newInvite(ctx, next, asked); err != nil {
			return b, err
		}
		b = principals.Batch{
			Change: chain.Change{Action: "invite", Noun: "user", Name: name, Summary: "invite " + next.GetInvite() + " until " + moment(inv.stored.GetExpireTime()), Before: u.GetVersion()},
			If:     append(v.SeenRoles(u.GetRoles()), holdings.SeenUser(name, was)),
			Users:  []*storev1.User{next},
		}
		inv.addTo(&b, v)
		if was.GetInvite() != "" {
			b.Delete = []principals.Seen{{Kind: keys.KindLink, Name: was.GetInvite()}}
		}
		return b, nil
	})
	if err != nil {
		return nil, err
	}
	return inv.shown(), nil
}

// AcceptInvite sets the password of the user whom an invite is for, ends all their
// sessions and tokens, and makes a session.
//
// Errors: TOKEN_INVALID if the text is cut off or mistyped, UNAUTHENTICATED,
// TOKEN_USED, PASSWORD_WEAK, LOGIN_LIMIT; the store's.
func (l *Login) AcceptInvite(ctx context.Context, text, pass string) (*ruedov1.Token, token.Token, error) {
	t, err := token.Parse(token.Invite, text)
	if err != nil {
		return nil, token.Token{}, err
	}
	link, err := l.invited(ctx, l.view(), t)
	if err != nil {
		return nil, token.Token{}, err
	}
	name := link.GetUser()
	if err := password.Check(name, pass); err != nil {
		return nil, token.Token{}, err
	}
	hash, err := l.passwords.Hash(ctx, pass)
	if err != nil {
		return nil, token.Token{}, err
	}
	shown := token.New(token.Bearer)
	return l.session(as(ctx, name, shown.ID()), name, shown, func(v holdings.View, b *principals.Batch) error {
		link, err := l.invited(ctx, v, t)
		if err != nil {
			return err
		}
		b.Change = chain.Change{Action: "accept", Noun: "user", Name: name, Summary: "invite " + t.ID() + ": a password is set"}
		b.If = append(b.If, principals.Seen{Kind: keys.KindLink, Name: t.ID(), Version: link.GetVersion()})
		link.UsesLeft--
		b.Links = map[string]*storev1.Link{t.ID(): link}
		l.renew(v, b, name, hash)
		return nil
	})
}

// renew replaces the password of a user in what is written, and ends all that is good
// for the user by then.
func (l *Login) renew(v holdings.View, b *principals.Batch, name, hash string) {
	was := v.Users[name]
	next := proto.CloneOf(was)
	next.Password, next.Invite = hash, ""
	next.Epoch++
	b.Change.Before = was.GetUser().GetVersion()
	b.If = append(b.If, holdings.SeenUser(name, was))
	b.Users = []*storev1.User{next}
	b.Delete = holdings.SeenTokens(v.TokensOf(name))
}

// invited returns the link of an invite that is good. TOKEN_USED if it was used; all
// else is one error.
func (l *Login) invited(ctx context.Context, v holdings.View, t token.Token) (*storev1.Link, error) {
	link, err := l.cfg.Store.Link(ctx, t.ID())
	if err != nil {
		return nil, err
	}
	hash := t.Hash()
	u := v.Users[link.GetUser()]
	switch {
	case link == nil || subtle.ConstantTimeCompare(hash[:], link.GetHash()) != 1 || link.GetUse() != storev1.Link_USE_INVITE:
	case link.GetUsesLeft() == 0:
		return nil, l.refused(ctx, "accept", link.GetUser(), fault.New(fault.TokenUsed, "the invite was used already").WithFix("log in with the password that was set with it, or ask for another invite"))
	case u == nil || u.GetUser().GetDisabled() || u.GetInvite() != t.ID() || u.GetEpoch() != link.GetEpoch() || link.GetClusterEpoch() != v.Access().GetEpoch():
	case !link.GetExpireTime().AsTime().After(time.Now()) || !v.MayInvite(link.GetCreatedBy(), u.GetUser()):
	default:
		return link, nil
	}
	name := ""
	if u != nil {
		name = link.GetUser()
	}
	return nil, l.refused(ctx, "accept", name, fault.New(fault.Unauthenticated, "the invite is not good: it has expired, another one has replaced it, or there never was one").WithFix("ask for another invite"))
}

// refused reports a login that failed, and returns why.
func (l *Login) refused(ctx context.Context, action, user string, e *fault.Error) error {
	l.cfg.Denied(ctx, action, "user", user, e.Reason)
	return e
}
