package users

import (
	"context"
	"slices"
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
)

// User returns a user, and how many tokens they have. USER_NOT_FOUND.
func (us *Users) User(ctx context.Context, name string) (*ruedov1.User, int, error) {
	v := us.View()
	u, err := us.user(ctx, v, name)
	if err != nil {
		return nil, 0, err
	}
	now := time.Now()
	n := 0
	for _, t := range v.TokensOf(name) {
		if v.Good(t, now) {
			n++
		}
	}
	return shownUser(u), n, nil
}

// Users returns all users that the caller may read, by name.
func (us *Users) Users(ctx context.Context) map[string]*ruedov1.User {
	visible := access.Visible(ctx, access.User)
	all := map[string]*ruedov1.User{}
	for name, u := range us.View().Users {
		if visible(name) {
			all[name] = shownUser(u)
		}
	}
	return all
}

func (us *Users) user(ctx context.Context, v holdings.View, name string) (*storev1.User, error) {
	if err := v.Fault(keys.KindUser, name); err != nil {
		return nil, err
	}
	if u := v.Users[name]; u != nil {
		return u, nil
	}
	return nil, us.cfg.Missing(ctx, access.User, name)
}

// shownUser returns a user without what only cores read.
func shownUser(u *storev1.User) *ruedov1.User {
	shown := proto.CloneOf(u.GetUser())
	shown.HasPassword = u.GetPassword() != ""
	return shown
}

// CreateUser creates a user, and returns an invite unless it is a program. The invite
// can be used for a time; zero means an hour.
//
// Errors: ALREADY_EXISTS, ROLE_NOT_FOUND, GRANT_INVALID, GRANT_EXCEEDS,
// REQUEST_INVALID; the store's.
func (us *Users) CreateUser(ctx context.Context, u *ruedov1.User, inviteLifetime time.Duration) (*ruedov1.User, *ruedov1.Invite, error) {
	now := time.Now()
	next := &storev1.User{
		User: &ruedov1.User{
			Name: u.GetName(), Description: u.GetDescription(), Machine: u.GetMachine() || u.GetName() == access.Anonymous, Disabled: u.GetDisabled(),
			Roles: u.GetRoles(), Grants: u.GetGrants(), CreateTime: timestamppb.New(now), UpdateTime: timestamppb.New(now),
		},
		// Another one than that of a user who had the name before.
		Epoch: uint64(now.UnixNano()),
	}
	name := next.GetUser().GetName()
	var inv *invite
	if !next.GetUser().GetMachine() {
		var err error
		if inv, err = us.newInvite(ctx, next, inviteLifetime); err != nil {
			return nil, nil, err
		}
	}
	revision, err := us.Change(ctx, func(v holdings.View) (principals.Batch, error) {
		b := principals.Batch{
			Change: chain.Change{Action: "create", Noun: "user", Name: name, Summary: describeUser(next.GetUser())},
			If:     append(v.SeenRoles(u.GetRoles()), holdings.SeenUser(name, nil)),
			Users:  []*storev1.User{next},
		}
		if err := v.Fault(keys.KindUser, name); err != nil {
			return b, err
		}
		if v.Users[name] != nil {
			return b, fault.New(fault.AlreadyExists, "the user %s exists", name).With("user", name).WithFix("update the user, or choose another name")
		}
		if inv != nil {
			inv.addTo(&b, v)
		}
		return b, us.checkUser(ctx, v, nil, next.GetUser())
	})
	if err != nil {
		return nil, nil, err
	}
	next.User.Version = revision
	return shownUser(next), inv.shown(), nil
}

// UpdateUser replaces the description, roles and grants of a user, and whether they
// are disabled.
//
// Errors: those of CreateUser; USER_NOT_FOUND; CONFLICT if the user has changed since
// the version that the caller has seen; LAST_ADMIN.
func (us *Users) UpdateUser(ctx context.Context, u *ruedov1.User) (*ruedov1.User, error) {
	name := u.GetName()
	var next *storev1.User
	revision, err := us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		was, err := us.user(ctx, v, name)
		if err != nil {
			return b, err
		}
		old := was.GetUser()
		switch seen := u.GetVersion(); {
		case seen != 0 && seen != old.GetVersion():
			return b, fault.New(fault.Conflict, "user %s has changed since version %d", name, seen).With("user", name).WithFix("look at the user, then try again")
		case u.GetMachine() != old.GetMachine() && name != access.Anonymous:
			return b, fault.New(fault.RequestInvalid, "user %s cannot become a program, or stop being one", name).WithFix("create another user")
		}
		next = proto.CloneOf(was)
		next.User.Description, next.User.Disabled = u.GetDescription(), u.GetDisabled()
		next.User.Roles, next.User.Grants = u.GetRoles(), u.GetGrants()
		next.User.UpdateTime = timestamppb.Now()
		if err := us.checkUser(ctx, v, old, next.GetUser()); err != nil {
			return b, err
		}
		left, err := v.StaysAdmin(ctx, v.WithUser(name, next))
		return principals.Batch{
			Change: chain.Change{Action: "update", Noun: "user", Name: name, Summary: describeUser(next.GetUser()), Before: old.GetVersion()},
			If:     slices.Concat(left, v.SeenRoles(u.GetRoles()), []principals.Seen{holdings.SeenUser(name, was)}),
			Users:  []*storev1.User{next},
		}, err
	})
	if err != nil {
		return nil, err
	}
	next.User.Version = revision
	return shownUser(next), nil
}

// DeleteUser deletes a user with all tokens and invites. USER_NOT_FOUND, LAST_ADMIN;
// the store's.
func (us *Users) DeleteUser(ctx context.Context, name string) error {
	_, err := us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		was := v.Users[name]
		if was == nil && v.Fault(keys.KindUser, name) == nil { // one that cannot be read can be deleted
			return b, us.cfg.Missing(ctx, access.User, name)
		}
		left, err := v.StaysAdmin(ctx, v.WithUser(name, nil))
		b = principals.Batch{
			Change: chain.Change{Action: "delete", Noun: "user", Name: name, Before: was.GetUser().GetVersion()},
			If:     left,
			Delete: append(holdings.SeenTokens(v.TokensOf(name)), holdings.SeenUser(name, was)),
		}
		if was != nil {
			b.If = append(b.If, holdings.SeenUser(name, was))
		}
		if was.GetInvite() != "" {
			b.Delete = append(b.Delete, principals.Seen{Kind: keys.KindLink, Name: was.GetInvite()})
		}
		return b, err
	})
	return err
}

// checkUser returns what is wrong with a user as they are to be; old is nil for a
// new one.
func (us *Users) checkUser(ctx context.Context, v holdings.View, old, next *ruedov1.User) error {
	added := func(now, before []string) []string {
		if old == nil || old.GetDisabled() && !next.GetDisabled() { // what they had counts again
			return now
		}
		return slices.DeleteFunc(slices.Clone(now), func(s string) bool { return slices.Contains(before, s) })
	}
	grants, roles := added(next.GetGrants(), old.GetGrants()), added(next.GetRoles(), old.GetRoles())
	set, err := access.ParseAll(grants)
	if err != nil {
		return err
	}
	if err := v.CheckRoles(ctx, roles); err != nil {
		return err
	}
	if next.GetName() == access.Anonymous {
		if err := checkAnonymous(next, set); err != nil {
			return err
		}
	}
	return us.given(ctx, access.User, next.GetName(), "user "+next.GetName(), append(v.Held(&ruedov1.User{Roles: roles}), set...))
}

// checkAnonymous returns what is wrong with the user whose grants everybody has.
func checkAnonymous(u *ruedov1.User, added access.Set) error {
	if len(u.GetRoles()) > 0 {
		return fault.New(fault.RequestInvalid, "the user %s cannot have roles", access.Anonymous).WithFix("grant them 'call service NAME'")
	}
	for _, g := range added {
		if g.Verb != access.Call {
			return fault.New(fault.RequestInvalid, "the user %s cannot have the grant %q: those who show nothing can only call services", access.Anonymous, g).
				With("grant", g.String()).WithFix("grant them 'call service NAME'")
		}
	}
	return nil
}

// describeUser says in the audit what a user is.
func describeUser(u *ruedov1.User) string {
	s := "a person"
	if u.GetMachine() {
		s = "a program"
	}
	if u.GetDisabled() {
		s += ", disabled"
	}
	return s + describeList("; roles ", u.GetRoles()) + describeList("; grants ", u.GetGrants())
}
