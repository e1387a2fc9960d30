package users_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/coretest/userstest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestUsersThatAreRefused(t *testing.T) {
	h := open(t)
	root := userstest.Socket(t)
	manager := h.As(t, h.Program(t, "manager", "write user *", "read user *", "call service team-a-*"))
	h.Create(t, &ruedov1.User{Name: "ci", Machine: true}, "call service team-a-greet")
	h.Create(t, &ruedov1.User{Name: "boss"}, "role:admin")
	if _, err := h.CreateRole(root, &ruedov1.Role{Name: "operator", Grants: []string{"write cluster *"}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		user *ruedov1.User
		want fault.Reason
		says string
	}{
		"the name is taken":                 {root, &ruedov1.User{Name: "ci"}, fault.AlreadyExists, "the user ci exists"},
		"no such role":                      {root, &ruedov1.User{Name: "new", Roles: []string{"admim"}}, fault.RoleNotFound, "did you mean admin?"},
		"no such role, like one of ours":    {root, &ruedov1.User{Name: "new", Roles: []string{"operato"}}, fault.RoleNotFound, "did you mean operator?"},
		"a role that the caller cannot see": {manager, &ruedov1.User{Name: "new", Roles: []string{"operator"}}, fault.RoleNotFound, "list the roles"},
		"a grant that does not parse":       {root, &ruedov1.User{Name: "new", Grants: []string{"call service team*"}}, fault.GrantInvalid, "is not a pattern"},
		"a grant that exceeds":              {manager, &ruedov1.User{Name: "new", Grants: []string{"call service team-a-x", "call service *"}}, fault.GrantExceeds, `the grant "call service *", which user/manager does not hold`},
		"a role that exceeds":               {manager, &ruedov1.User{Name: "new", Roles: []string{"viewer"}}, fault.GrantExceeds, `"read service *"`},
		"anonymous with a role":             {root, &ruedov1.User{Name: "anonymous", Roles: []string{"caller"}}, fault.RequestInvalid, "cannot have roles"},
		"anonymous that reads":              {root, &ruedov1.User{Name: "anonymous", Grants: []string{"read service *"}}, fault.RequestInvalid, "can only call services"},
		"anonymous that may do anything":    {root, &ruedov1.User{Name: "anonymous", Grants: []string{"* service public-*"}}, fault.RequestInvalid, "can only call services"},
	} {
		t.Run(name, func(t *testing.T) {
			_, invite, err := h.CreateUser(c.ctx, c.user, 0)
			testkit.WantReason(t, err, c.want, c.says)
			if invite != nil {
				t.Error("there is an invite")
			}
			if _, _, err := h.User(root, "new"); !errors.Is(err, fault.UserNotFound) {
				t.Errorf("the user is there: %v", err)
			}
		})
	}

	// What was there before does not count, and what is taken away does not either.
	boss := h.Read(t, "boss")
	boss.Description = "still there"
	if _, err := h.UpdateUser(manager, boss); err != nil {
		t.Errorf("a description: %v", err)
	}
	ci := h.Read(t, "ci")
	ci.Grants = append(ci.Grants, "call service team-b-greet")
	_, err := h.UpdateUser(manager, ci)
	testkit.WantReason(t, err, fault.GrantExceeds, "user ci would get")
	ci.Version = 1
	_, err = h.UpdateUser(root, ci)
	testkit.WantReason(t, err, fault.Conflict, "has changed since version 1")
	_, err = h.UpdateUser(root, &ruedov1.User{Name: "ci"})
	testkit.WantReason(t, err, fault.RequestInvalid, "cannot become a program, or stop being one")
	_, err = h.UpdateUser(root, &ruedov1.User{Name: "c1", Machine: true})
	testkit.WantReason(t, err, fault.UserNotFound, "did you mean ci?")
	testkit.WantReason(t, h.DeleteUser(root, "c1"), fault.UserNotFound)

	// Whoever was disabled gets everything back.
	off := h.Read(t, "boss")
	off.Disabled = true
	if off, err = h.UpdateUser(root, off); err != nil {
		t.Fatal(err)
	}
	off.Disabled = false
	_, err = h.UpdateUser(manager, off)
	testkit.WantReason(t, err, fault.GrantExceeds)

	for name, c := range map[string]struct {
		user string
		want fault.Reason
		says string
	}{
		"of a program":               {"ci", fault.RequestInvalid, "is a program"},
		"of somebody disabled":       {"boss", fault.RequestInvalid, "is disabled"},
		"of nobody":                  {"c1", fault.UserNotFound, ""},
		"of somebody who holds more": {"strong", fault.GrantExceeds, "whoever uses the invite"},
	} {
		if name == "of somebody who holds more" {
			h.Create(t, &ruedov1.User{Name: "strong"}, "role:admin")
		}
		_, err := h.CreateInvite(manager, c.user, 0)
		if testkit.WantReason(t, err, c.want, c.says); err == nil {
			t.Errorf("an invite %s", name)
		}
	}
	_, err = h.CreateInvite(root, "strong", 8*24*3600e9)
	testkit.WantReason(t, err, fault.RequestInvalid, "longer than the limit")
	_, err = h.CreateInvite(root, "strong", -1)
	testkit.WantReason(t, err, fault.RequestInvalid, "over already")
}

// Everybody has the grants of the user anonymous, who is a program whatever is asked
// for.
func TestAnonymous(t *testing.T) {
	h := open(t)
	u, invite, err := h.CreateUser(userstest.Socket(t), &ruedov1.User{Name: "anonymous", Grants: []string{"call service public-*"}}, 0)
	if err != nil || invite != nil || !u.GetMachine() {
		t.Fatal(u, invite, err)
	}
	u.Machine = false
	if u, err = h.UpdateUser(userstest.Socket(t), u); err != nil || !u.GetMachine() {
		t.Error(u, err)
	}
	_, _, err = h.CreateToken(userstest.Socket(t), &ruedov1.CreateTokenRequest{User: "anonymous"})
	testkit.WantReason(t, err, fault.RequestInvalid, "cannot have tokens")
}

// A change is seen by the very next request.
func TestWhatAUserLosesIsLost(t *testing.T) {
	h := open(t)
	secret := h.Program(t, "ci", "call service greet", "role:viewer")
	u := h.Read(t, "ci")
	u.Grants, u.Roles = nil, nil
	u, err := h.UpdateUser(userstest.Socket(t), u)
	if err != nil {
		t.Fatal(err)
	}
	if p := access.Of(h.As(t, secret)); len(p.Grants) != 0 {
		t.Errorf("%s are left", p.Grants.Strings())
	}
	u.Disabled = true
	if _, err := h.UpdateUser(userstest.Socket(t), u); err != nil {
		t.Fatal(err)
	}
	h.Good(t, false, secret)

	other := h.Program(t, "other")
	if err := h.DeleteUser(userstest.Socket(t), "other"); err != nil {
		t.Fatal(err)
	}
	h.Good(t, false, other)
	again := h.Program(t, "other") // somebody else of the same name
	h.Good(t, false, other)
	h.Good(t, true, again)
	if got, err := h.client.Get(t.Context(), "/ruedo/main/tokens/"+other[len("ruedo_t_"):][:10]); err != nil || len(got.Kvs) != 0 {
		t.Errorf("the token is still stored: %v, %v", got, err)
	}
}

func TestUsersAndRolesThatAreListed(t *testing.T) {
	h := open(t)
	for _, name := range []string{"team-a-ci", "team-b-ci"} {
		h.Create(t, &ruedov1.User{Name: name, Machine: true}, "role:caller")
		if _, err := h.CreateRole(userstest.Socket(t), &ruedov1.Role{Name: name, Grants: []string{"read service *"}}); err != nil {
			t.Fatal(err)
		}
	}
	a := h.As(t, h.Program(t, "ada", "read user team-a-*", "read role team-a-*", "read role caller"))
	if users := h.Users.Users(a); len(users) != 1 || users["team-a-ci"] == nil {
		t.Errorf("%v", users)
	}
	if roles := h.Roles(a); len(roles) != 2 || roles["team-a-ci"] == nil || !roles["caller"].GetBuiltIn() {
		t.Errorf("%v", roles)
	}
	_, users, err := h.Role(a, "caller")
	if err != nil || strings.Join(users, ",") != "team-a-ci" {
		t.Errorf("%v, %v", users, err)
	}
	if all := h.Roles(userstest.Socket(t)); len(all) != len(access.BuiltIn())+2 {
		t.Errorf("%v", all)
	}
}

func TestRoles(t *testing.T) {
	h := open(t)
	root := userstest.Socket(t)
	writer := h.As(t, h.Program(t, "writer", "write role *", "read role *", "call service team-a-*"))
	made, err := h.CreateRole(writer, &ruedov1.Role{Name: "team-a", Description: "Team A.", Grants: []string{"call service team-a-*"}})
	if err != nil || made.GetVersion() == 0 || made.GetCreateTime() == nil {
		t.Fatal(made, err)
	}
	secret := h.Program(t, "ci", "role:team-a")
	for name, c := range map[string]struct {
		do   func() error
		want fault.Reason
		says string
	}{
		"create one that exists":      {func() error { _, err := h.CreateRole(root, &ruedov1.Role{Name: "team-a"}); return err }, fault.AlreadyExists, "team-a exists"},
		"create one that is built in": {func() error { _, err := h.CreateRole(root, &ruedov1.Role{Name: "admin"}); return err }, fault.AlreadyExists, "admin exists: it is built in"},
		"with a grant that exceeds": {func() error {
			_, err := h.CreateRole(writer, &ruedov1.Role{Name: "new", Grants: []string{"call service *"}})
			return err
		}, fault.GrantExceeds, `"call service *"`},
		"with one that does not parse": {func() error {
			_, err := h.CreateRole(writer, &ruedov1.Role{Name: "new", Grants: []string{"call"}})
			return err
		}, fault.GrantInvalid, "three words"},
		"update one with a grant that exceeds": {func() error {
			_, err := h.UpdateRole(writer, &ruedov1.Role{Name: "team-a", Grants: []string{"call service team-a-*", "write service team-a-*"}})
			return err
		}, fault.GrantExceeds, `"write service team-a-*"`},
		"update one that is built in":  {func() error { _, err := h.UpdateRole(root, &ruedov1.Role{Name: "viewer"}); return err }, fault.RequestInvalid, "built in"},
		"update one that has changed":  {func() error { _, err := h.UpdateRole(root, &ruedov1.Role{Name: "team-a", Version: 1}); return err }, fault.Conflict, "since version 1"},
		"update one that is not there": {func() error { _, err := h.UpdateRole(root, &ruedov1.Role{Name: "team-b"}); return err }, fault.RoleNotFound, "did you mean team-a?"},
		"delete one that is used":      {func() error { return h.DeleteRole(root, "team-a") }, fault.RoleInUse, "1 user: ci"},
		"by users that are invisible":  {func() error { return h.DeleteRole(writer, "team-a") }, fault.RoleInUse, "is used by 1 user"},
		"delete one that is built in":  {func() error { return h.DeleteRole(root, "runner") }, fault.RequestInvalid, "built in"},
		"delete one that is not there": {func() error { return h.DeleteRole(root, "nobody") }, fault.RoleNotFound, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.do()
			testkit.WantReason(t, err, c.want, c.says)
			if c.want == fault.RoleInUse && name == "by users that are invisible" && strings.Contains(err.Error(), "ci") {
				t.Errorf("%v names a user whom the caller cannot see", err)
			}
		})
	}

	made.Grants = []string{"read service *"}
	if _, err = h.UpdateRole(root, made); err != nil {
		t.Fatal(err)
	}
	if p := access.Of(h.As(t, secret)); strings.Join(p.Grants.Strings(), ",") != "read service *" {
		t.Errorf("after a change of the role: %s", p.Grants.Strings())
	}
	u := h.Read(t, "ci")
	u.Roles = nil
	if _, err := h.UpdateUser(root, u); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteRole(root, "team-a"); err != nil {
		t.Error(err)
	}
	if _, _, err := h.Role(root, "team-a"); !errors.Is(err, fault.RoleNotFound) {
		t.Errorf("%v", err)
	}
}

// No user ever has a role that is not there, whoever comes first.
func TestARoleIsNotDeletedWhileAUserGetsIt(t *testing.T) {
	h := open(t)
	root := userstest.Socket(t)
	create := func(name, role string) error {
		_, _, err := h.CreateUser(root, &ruedov1.User{Name: name, Machine: true, Roles: []string{role}}, 0)
		return err
	}
	for _, role := range []string{"one", "two"} {
		if _, err := h.CreateRole(root, &ruedov1.Role{Name: role, Grants: []string{"read service *"}}); err != nil {
			t.Fatal(err)
		}
	}
	h.Meanwhile = func() {
		if err := create("first", "one"); err != nil {
			t.Error(err)
		}
	}
	testkit.WantReason(t, h.DeleteRole(root, "one"), fault.RoleInUse, "first")

	h.Meanwhile = func() {
		if err := h.DeleteRole(root, "two"); err != nil {
			t.Error(err)
		}
	}
	testkit.WantReason(t, create("second", "two"), fault.RoleNotFound)
}

// What was decided by something that has changed since is decided again.
func TestChangesOfTheSameUserAreNotLost(t *testing.T) {
	h := open(t)
	h.Create(t, &ruedov1.User{Name: "ci", Machine: true})
	h.Meanwhile = func() {
		if _, err := h.UpdateUser(userstest.Socket(t), &ruedov1.User{Name: "ci", Machine: true, Disabled: true}); err != nil {
			t.Error(err)
		}
	}
	u := h.Read(t, "ci")
	u.Description = "of somebody who has not seen that"
	_, err := h.UpdateUser(userstest.Socket(t), u)
	testkit.WantReason(t, err, fault.Conflict, "has changed since")
	if !h.Read(t, "ci").GetDisabled() {
		t.Error("the user is not disabled any more")
	}

	h.Meanwhile = func() { h.Create(t, &ruedov1.User{Name: "new", Machine: true}) }
	_, _, err = h.CreateUser(userstest.Socket(t), &ruedov1.User{Name: "new", Machine: true}, 0)
	testkit.WantReason(t, err, fault.AlreadyExists)
}

func TestTheLastAdministratorStays(t *testing.T) {
	h := open(t)
	ada := h.As(t, h.Program(t, "ada", "role:admin"))
	change := func(name string, edit func(u *ruedov1.User)) error {
		u := h.Read(t, name)
		edit(u)
		_, err := h.UpdateUser(ada, u)
		return err
	}
	for what, do := range map[string]func() error{
		"deleted":        func() error { return h.DeleteUser(ada, "ada") },
		"disabled":       func() error { return change("ada", func(u *ruedov1.User) { u.Disabled = true }) },
		"loses the role": func() error { return change("ada", func(u *ruedov1.User) { u.Roles = []string{"viewer"} }) },
	} {
		if err := do(); !errors.Is(err, fault.LastAdmin) {
			t.Errorf("%s: %v", what, err)
		}
	}
	testkit.WantReason(t, h.DeleteUser(ada, "ada"), fault.LastAdmin, "by its socket")

	// Others count if they may do everything, whatever makes it so.
	if _, err := h.CreateRole(ada, &ruedov1.Role{Name: "root", Grants: []string{"* * *"}}); err != nil {
		t.Fatal(err)
	}
	h.Create(t, &ruedov1.User{Name: "eve", Disabled: true}, "role:admin")
	h.Create(t, &ruedov1.User{Name: "carl", Machine: true}, "role:publisher")
	if err := h.DeleteUser(ada, "ada"); !errors.Is(err, fault.LastAdmin) {
		t.Errorf("only somebody disabled is left: %v", err)
	}
	h.Create(t, &ruedov1.User{Name: "bob"}, "role:root")
	if err := change("ada", func(u *ruedov1.User) { u.Roles = []string{"viewer"} }); err != nil {
		t.Errorf("bob is left: %v", err)
	}
	bob := access.With(t.Context(), &access.Request{Principal: &access.Principal{Name: "user/bob", Grants: access.Set{access.Everything}}, Via: access.ViaTLS})
	_, err := h.UpdateRole(bob, &ruedov1.Role{Name: "root", Grants: []string{"read * *"}})
	testkit.WantReason(t, err, fault.LastAdmin)
	if _, err := h.UpdateRole(bob, &ruedov1.Role{Name: "root", Description: "still everything", Grants: []string{"* * *", "read * *"}}); err != nil {
		t.Errorf("nothing is lost: %v", err)
	}
	if err := h.DeleteUser(userstest.Socket(t), "bob"); err != nil {
		t.Errorf("by the socket: %v", err)
	}
}

// Of two administrators who remove each other at the same time, one stays.
func TestTwoAdministratorsRemoveEachOther(t *testing.T) {
	h := open(t)
	remote := access.With(t.Context(), &access.Request{Principal: &access.Principal{Name: "user/root", Grants: access.Set{access.Everything}}, Via: access.ViaTLS})
	h.Create(t, &ruedov1.User{Name: "ada"}, "role:admin")
	if _, err := h.CreateRole(remote, &ruedov1.Role{Name: "everything", Grants: []string{"* * *"}}); err != nil {
		t.Fatal(err)
	}
	for what, loses := range map[string]func(name string) error{
		"is deleted": func(name string) error { return h.DeleteUser(remote, name) },
		"has no role": func(name string) error {
			_, err := h.UpdateUser(remote, &ruedov1.User{Name: name})
			return err
		},
		"has a role that changes": func(string) error {
			_, err := h.UpdateRole(remote, &ruedov1.Role{Name: "everything", Grants: []string{"read * *"}})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			h.Create(t, &ruedov1.User{Name: "bob"}, "role:everything")
			h.Meanwhile = func() {
				if err := loses("bob"); err != nil {
					t.Error(err)
				}
			}
			testkit.WantReason(t, h.DeleteUser(remote, "ada"), fault.LastAdmin)
			_ = h.DeleteUser(remote, "bob")
		})
	}
}
