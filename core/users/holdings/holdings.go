// Package holdings says what users hold, as of a snapshot of the mirror, or as it
// would be after a change.
//
//	v := holdings.Of(mirror.Snapshot())
//	v.Held(v.Users["ada"].GetUser()).Allows(access.Write, access.User, "bob")
//
// What a transaction depends on are the values that were seen here: [SeenUser] and
// its like name them with their versions.
package holdings

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// View is who may do what. Its maps are shared and must not be changed.
type View struct {
	*mirror.Snapshot
	// Users and Roles, by name, are those of the snapshot unless a change is assumed.
	Users map[string]*storev1.User
	Roles map[string]*storev1.Role
}

// Of returns the view of a snapshot.
func Of(s *mirror.Snapshot) View { return View{s, s.Users, s.Roles} }

// WithUser returns the view after a change of a user; nil removes it.
func (v View) WithUser(name string, u *storev1.User) View {
	v.Users = with(v.Users, name, u)
	return v
}

// WithRole returns the view after a change of a role; nil removes it.
func (v View) WithRole(name string, r *storev1.Role) View {
	v.Roles = with(v.Roles, name, r)
	return v
}

func with[M comparable](all map[string]M, name string, m M) map[string]M {
	all = maps.Clone(all)
	var none M
	if m == none {
		delete(all, name)
		return all
	}
	if all == nil {
		all = map[string]M{}
	}
	all[name] = m
	return all
}

// grants returns the grants of a role that is not built in.
func (v View) grants(role string) ([]string, bool) {
	r, ok := v.Roles[role]
	return r.GetRole().GetGrants(), ok
}

// Held returns what a user may do.
func (v View) Held(u *ruedov1.User) access.Set {
	return access.Held(u.GetRoles(), u.GetGrants(), v.grants)
}

// Good reports whether a token has not ended. Its user can be disabled all the same.
func (v View) Good(t *storev1.Token, now time.Time) bool {
	u := v.Users[t.GetToken().GetUser()]
	return u != nil && t.GetEpoch() == u.GetEpoch() && t.GetClusterEpoch() == v.Access().GetEpoch() && t.GetToken().GetExpireTime().AsTime().After(now)
}

// TokensOf returns all tokens of a user, the oldest first.
func (v View) TokensOf(user string) []*storev1.Token {
	var own []*storev1.Token
	for _, t := range v.Tokens {
		if t.GetToken().GetUser() == user {
			own = append(own, t)
		}
	}
	slices.SortFunc(own, func(a, b *storev1.Token) int {
		return a.GetToken().GetCreateTime().AsTime().Compare(b.GetToken().GetCreateTime().AsTime())
	})
	return own
}

// Admin reports whether a user may do everything.
func (v View) Admin(u *storev1.User) bool {
	return u != nil && !u.GetUser().GetDisabled() && v.Held(u.GetUser()).Covers(access.Everything)
}

// StaysAdmin returns what must not change for somebody to be left, after a change,
// who may do everything. LAST_ADMIN if nobody would be, unless the request came by
// the socket, whose owner may do everything anyway.
func (v View) StaysAdmin(ctx context.Context, after View) ([]principals.Seen, error) {
	if v.Access() == nil { // nobody has to log in
		return nil, nil
	}
	loses := false
	for name, u := range v.Users {
		if loses = v.Admin(u) && !after.Admin(after.Users[name]); loses {
			break
		}
	}
	if !loses {
		return nil, nil
	}
	for name, u := range after.Users {
		if after.Admin(u) && v.Users[name] == u { // not the one that changes
			return append(after.SeenRoles(u.GetUser().GetRoles()), SeenUser(name, u)), nil
		}
	}
	if r := access.Of(ctx); r != nil && r.Via == access.ViaSocket {
		return nil, nil
	}
	return nil, fault.New(fault.LastAdmin, "no user would be left who may do everything").
		WithFix("give another user the role %s first, or do this on the machine of a core, by its socket", access.AdminRole)
}

// CheckRoles returns ROLE_NOT_FOUND for the first name that is not that of a role, or
// of one that the caller does not see.
func (v View) CheckRoles(ctx context.Context, names []string) error {
	r, readable := access.Of(ctx), access.Visible(ctx, access.Role)
	for _, name := range names {
		if _, ok := access.FindBuiltIn(name); ok {
			continue
		}
		if v.Roles[name] != nil && r != nil && r.Sees(access.Role, name) {
			continue
		}
		var candidates []string
		for _, b := range access.BuiltIn() {
			candidates = append(candidates, b.Name)
		}
		for other := range v.Roles {
			if readable(other) {
				candidates = append(candidates, other)
			}
		}
		slices.Sort(candidates)
		return fault.New(fault.RoleNotFound, "there is no role %q", name).With("role", name).WithFix("%s", suggest.Or(name, candidates, "list the roles"))
	}
	return nil
}

// Holders returns the users who have a role: those that the caller may read, and the
// number of all.
func (v View) Holders(ctx context.Context, role string) (visible []string, all int) {
	see := access.Visible(ctx, access.User)
	for name, u := range v.Users {
		if !slices.Contains(u.GetUser().GetRoles(), role) {
			continue
		}
		if all++; see(name) {
			visible = append(visible, name)
		}
	}
	slices.Sort(visible)
	return visible, all
}

// MayInvite reports whether somebody who has made an invite could make it now. So
// nobody can invite a user who is about to get more than they hold.
func (v View) MayInvite(by string, u *ruedov1.User) bool {
	name := (&access.Principal{Name: by}).User()
	if name == "" { // by the socket
		return true
	}
	w := v.Users[name]
	_, exceeds := v.Held(w.GetUser()).Exceeding(v.Held(u))
	return w != nil && !w.GetUser().GetDisabled() && !exceeds
}
