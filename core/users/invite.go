package users

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

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
func (us *Users) newInvite(ctx context.Context, u *storev1.User, asked time.Duration) (*invite, error) {
	r, err := access.Caller(ctx)
	if err != nil {
		return nil, err
	}
	life, err := lifetime(asked, inviteLifetime, maxInviteLifetime)
	if err != nil {
		return nil, err
	}
	url := us.cfg.URL()
	if url == "" {
		return nil, fault.New(fault.ConfigInvalid, "this core serves no port, so nobody could use an invite").WithFix("create people by a core that serves one, or a program")
	}
	link, err := token.NewLink(url, token.New(token.Invite), us.cfg.Pin())
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
func (us *Users) CreateInvite(ctx context.Context, name string, asked time.Duration) (*ruedov1.Invite, error) {
	var inv *invite
	_, err := us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		was, err := us.user(ctx, v, name)
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
		if err := us.given(ctx, access.User, name, "whoever uses the invite", v.Held(u)); err != nil {
			return b, err
		}
		next := proto.CloneOf(was)
		if inv, err = us.newInvite(ctx, next, asked); err != nil {
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
