package login

import (
	"context"
	"crypto/subtle"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/users/holdings"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/token"
)

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
	link, err := l.invited(ctx, l.users.View(), t)
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
