package users

import (
	"context"
	"maps"
	"slices"

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
	"github.com/ruedo-dev/ruedo/internal/text"
)

const (
	// maxHolders bounds the users that are listed with a role.
	maxHolders = 1000
	// namedHolders bounds the users that an error names.
	namedHolders = 5
)

// Role returns a role, and those users who have it that the caller may read, at most
// 1,000. ROLE_NOT_FOUND.
func (us *Users) Role(ctx context.Context, name string) (*ruedov1.Role, []string, error) {
	v := us.View()
	role, ok := builtIn(name)
	if !ok {
		stored, err := us.role(ctx, v, name)
		if err != nil {
			return nil, nil, err
		}
		role = stored.GetRole()
	}
	users, _ := v.Holders(ctx, name)
	return role, users[:min(len(users), maxHolders)], nil
}

// Roles returns all roles that the caller may read, by name.
func (us *Users) Roles(ctx context.Context) map[string]*ruedov1.Role {
	all := map[string]*ruedov1.Role{}
	for _, r := range access.BuiltIn() {
		all[r.Name], _ = builtIn(r.Name)
	}
	for name, r := range us.View().Roles {
		all[name] = r.GetRole()
	}
	visible := access.Visible(ctx, access.Role)
	maps.DeleteFunc(all, func(name string, _ *ruedov1.Role) bool { return !visible(name) })
	return all
}

func builtIn(name string) (*ruedov1.Role, bool) {
	r, ok := access.FindBuiltIn(name)
	if !ok {
		return nil, false
	}
	return &ruedov1.Role{Name: r.Name, Description: r.Description, Grants: r.Grants.Strings(), BuiltIn: true}, true
}

func (us *Users) role(ctx context.Context, v holdings.View, name string) (*storev1.Role, error) {
	if err := v.Fault(keys.KindRole, name); err != nil {
		return nil, err
	}
	if r := v.Roles[name]; r != nil {
		return r, nil
	}
	return nil, us.cfg.Missing(ctx, access.Role, name)
}

// fixed returns REQUEST_INVALID for a role that cannot be changed.
func fixed(name string) error {
	if _, ok := access.FindBuiltIn(name); ok {
		return fault.New(fault.RequestInvalid, "the role %s is built in and cannot be changed", name).With("role", name).WithFix("create a role of another name")
	}
	return nil
}

// CreateRole creates a role. ALREADY_EXISTS, GRANT_INVALID, GRANT_EXCEEDS; the
// store's.
func (us *Users) CreateRole(ctx context.Context, r *ruedov1.Role) (*ruedov1.Role, error) {
	name, now := r.GetName(), timestamppb.Now()
	next := &storev1.Role{Role: &ruedov1.Role{Name: name, Description: r.GetDescription(), Grants: r.GetGrants(), CreateTime: now, UpdateTime: now}}
	revision, err := us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		if err := v.Fault(keys.KindRole, name); err != nil {
			return b, err
		}
		if _, ok := access.FindBuiltIn(name); ok {
			return b, fault.New(fault.AlreadyExists, "the role %s exists: it is built in", name).With("role", name).WithFix("choose another name")
		}
		if v.Roles[name] != nil {
			return b, fault.New(fault.AlreadyExists, "the role %s exists", name).With("role", name).WithFix("update the role, or choose another name")
		}
		set, err := access.ParseAll(r.GetGrants())
		if err != nil {
			return b, err
		}
		return principals.Batch{
			Change: chain.Change{Action: "create", Noun: "role", Name: name, Summary: describeList("grants ", r.GetGrants())},
			If:     []principals.Seen{holdings.SeenRole(name, nil)},
			Roles:  []*storev1.Role{next},
		}, us.given(ctx, access.Role, name, "whoever has the role "+name, set)
	})
	if err != nil {
		return nil, err
	}
	next.Role.Version = revision
	return next.GetRole(), nil
}

// UpdateRole replaces the description and the grants of a role.
//
// Errors: ROLE_NOT_FOUND, REQUEST_INVALID if the role is built in, CONFLICT if it has
// changed since the version that the caller has seen, GRANT_INVALID, GRANT_EXCEEDS,
// LAST_ADMIN; the store's.
func (us *Users) UpdateRole(ctx context.Context, r *ruedov1.Role) (*ruedov1.Role, error) {
	name := r.GetName()
	if err := fixed(name); err != nil {
		return nil, err
	}
	var next *storev1.Role
	revision, err := us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		was, err := us.role(ctx, v, name)
		if err != nil {
			return b, err
		}
		old := was.GetRole()
		if seen := r.GetVersion(); seen != 0 && seen != old.GetVersion() {
			return b, fault.New(fault.Conflict, "role %s has changed since version %d", name, seen).With("role", name).WithFix("look at the role, then try again")
		}
		added, err := access.ParseAll(slices.DeleteFunc(slices.Clone(r.GetGrants()), func(g string) bool { return slices.Contains(old.GetGrants(), g) }))
		if err != nil {
			return b, err
		}
		if err := us.given(ctx, access.Role, name, "whoever has the role "+name, added); err != nil {
			return b, err
		}
		next = proto.CloneOf(was)
		next.Role.Description, next.Role.Grants, next.Role.UpdateTime = r.GetDescription(), r.GetGrants(), timestamppb.Now()
		left, err := v.StaysAdmin(ctx, v.WithRole(name, next))
		return principals.Batch{
			Change: chain.Change{Action: "update", Noun: "role", Name: name, Summary: describeList("grants ", r.GetGrants()), Before: old.GetVersion()},
			If:     append(left, holdings.SeenRole(name, was)),
			Roles:  []*storev1.Role{next},
		}, err
	})
	if err != nil {
		return nil, err
	}
	next.Role.Version = revision
	return next.GetRole(), nil
}

// DeleteRole deletes a role. ROLE_NOT_FOUND, ROLE_IN_USE, REQUEST_INVALID if it is
// built in; the store's.
func (us *Users) DeleteRole(ctx context.Context, name string) error {
	if err := fixed(name); err != nil {
		return err
	}
	_, err := us.Change(ctx, func(v holdings.View) (b principals.Batch, err error) {
		was := v.Roles[name]
		if was == nil && v.Fault(keys.KindRole, name) == nil { // one that cannot be read can be deleted
			return b, us.cfg.Missing(ctx, access.Role, name)
		}
		if visible, n := v.Holders(ctx, name); n > 0 {
			who := text.Count(n, "user")
			if len(visible) > 0 {
				who += ": " + text.List(visible[:min(len(visible), namedHolders)], n)
			}
			return b, fault.New(fault.RoleInUse, "the role %s is used by %s", name, who).With("role", name).WithFix("take it from them first")
		}
		b = principals.Batch{
			Change: chain.Change{Action: "delete", Noun: "role", Name: name, Before: was.GetRole().GetVersion()},
			Since:  map[keys.Kind]int64{keys.KindUser: v.Revision}, // nobody has got it since
			Delete: []principals.Seen{holdings.SeenRole(name, was)},
		}
		if was != nil {
			b.If = []principals.Seen{holdings.SeenRole(name, was)}
		}
		return b, nil
	})
	return err
}
