package trust

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// UserNoun is the users of the cluster.
func UserNoun() *verb.Noun {
	type U = *ruedov1.User
	return &verb.Noun{
		Name: "user", Plural: "users",
		Get: verb.Get[U, verb.ByName]{
			Doc: verb.Doc{Help: "List the users: people and programs.", Examples: []string{"ruedo get users", "ruedo get users -o wide"}},
			Fetch: func(ctx context.Context, core *client.Client, a verb.ByName) ([]U, error) {
				return verb.Only(core.ListUsers(ctx, &ruedov1.ListUsersRequest{}), a.Names, U.GetName, fault.UserNotFound, "user")
			},
			Message: func(items []U) proto.Message { return &ruedov1.ListUsersResponse{Items: items} },
			Name:    U.GetName,
			Empty:   "no users yet: ruedo create user NAME --role admin",
			Columns: []output.Column[U]{
				{Head: "NAME", Cell: U.GetName},
				{Head: "KIND", Cell: kind},
				{Head: "STATE", Cell: state},
				{Head: "ROLES", Cell: func(u U) string { return strings.Join(u.GetRoles(), ", ") }},
				{Head: "GRANTS", Cell: func(u U) string { return strings.Join(u.GetGrants(), ", ") }},
				{Head: "AGE", Cell: func(u U) string { return output.Since(u.GetCreateTime()) }},
				{Head: "DESCRIPTION", Cell: U.GetDescription, Wide: true},
			},
		},
		Describe: verb.Describe[*ruedov1.GetUserResponse]{
			Doc: verb.Doc{Help: "Show a user.", Examples: []string{"ruedo describe user ada"}},
			Fetch: func(ctx context.Context, core *client.Client, name string) (*ruedov1.GetUserResponse, error) {
				return core.Users.GetUser(ctx, &ruedov1.GetUserRequest{Name: name})
			},
			Name: func(res *ruedov1.GetUserResponse) string { return res.GetUser().GetName() },
			Rows: func(res *ruedov1.GetUserResponse) [][]string {
				u := res.GetUser()
				return [][]string{
					{"Name:", u.GetName()},
					{"Description:", u.GetDescription()},
					{"Kind:", kind(u)},
					{"State:", state(u)},
					{"Roles:", strings.Join(u.GetRoles(), ", ")},
					{"Grants:", strings.Join(u.GetGrants(), ", ")},
					{"Tokens:", fmt.Sprint(res.GetTokenCount())},
					{"Created:", output.Since(u.GetCreateTime()) + " ago"},
					{"Updated:", output.Since(u.GetUpdateTime()) + " ago"},
				}
			},
		},
		Create: verb.Create[userFlags]{
			Doc: verb.Doc{
				Help: "Create a user, and a link with which the user sets a password.",
				Examples: []string{
					"ruedo create user ada --role admin",
					"ruedo create user ci --machine --grant 'write service team-a-*'",
				},
			},
			Do:  createUser,
			Say: sayUser,
		},
		Delete: verb.Delete{
			Doc:  verb.Doc{Help: "Delete a user.", Examples: []string{"ruedo delete user ada --yes"}},
			Also: " and all its tokens",
			Do: func(ctx context.Context, core *client.Client, name string) (proto.Message, error) {
				return core.Users.DeleteUser(ctx, &ruedov1.DeleteUserRequest{Name: name})
			},
		},
	}
}

func kind(u *ruedov1.User) string {
	if u.GetMachine() {
		return "machine"
	}
	return "person"
}

func state(u *ruedov1.User) string {
	switch {
	case u.GetDisabled():
		return "disabled"
	case !u.GetMachine() && !u.GetHasPassword():
		return "invited"
	}
	return "active"
}

// userFlags are the flags of `ruedo create user`.
type userFlags struct {
	Role        []string `placeholder:"ROLE" complete:"role" help:"Role of the user. May be repeated."`
	Grant       []string `placeholder:"GRANT" sep:"none" help:"Grant besides those of the roles, for example 'call service team-a-*'. May be repeated."`
	Machine     bool     `help:"Create a program, which has tokens and no password."`
	Description string   `placeholder:"TEXT" help:"Description of the user."`
	LinkExpires span     `placeholder:"DURATION" help:"How long the link can be used, at most 7d. Default: 1h."`
}

func createUser(s *session.Session, name string, f userFlags) (proto.Message, error) {
	if !f.Machine {
		if err := keepable(s, "the link"); err != nil {
			return nil, err
		}
	}
	core, err := s.Connect()
	if err != nil {
		return nil, err
	}
	u := &ruedov1.User{Name: name, Description: f.Description, Machine: f.Machine, Roles: f.Role, Grants: f.Grant}
	res, err := core.Users.CreateUser(s.Ctx, &ruedov1.CreateUserRequest{User: u, InviteLifetime: f.LinkExpires.proto()})
	return res, session.About(err, "user %s", name)
}

// sayUser prints the link of a new user to stdout, and everything else to stderr.
func sayUser(s *session.Session, m proto.Message) error {
	res, _ := m.(*ruedov1.CreateUserResponse)
	name := res.GetUser().GetName()
	if res.GetInvite() == nil {
		s.Progressf("give it a token: ruedo create token --user %s", name)
		return s.Printf("created user %s", name)
	}
	s.Infof("created user %s", name)
	return sayInvite(s, name, res.GetInvite())
}

func sayInvite(s *session.Session, user string, invite *ruedov1.Invite) error {
	s.Infof("This link lets %s set a password, once, until %s. Send it over a channel that you trust.", user, until(invite.GetExpireTime()))
	return s.Printf("%s", output.Safe(invite.GetLink()))
}

// InviteNoun is the links with which users set passwords. They are not listed.
func InviteNoun() *verb.Noun {
	type flags struct {
		Expires span `placeholder:"DURATION" help:"How long the link can be used, at most 7d. Default: 1h."`
	}
	return &verb.Noun{
		Name: "invite", Plural: "invites",
		Create: verb.Create[flags]{
			Doc: verb.Doc{
				Help: "Create a link with which a user sets a password, for example one who has forgotten it.", Argument: "Name of the user.",
				Examples: []string{"ruedo create invite ada"},
			},
			Do: func(s *session.Session, user string, f flags) (proto.Message, error) {
				if err := keepable(s, "the link"); err != nil {
					return nil, err
				}
				core, err := s.Connect()
				if err != nil {
					return nil, err
				}
				res, err := core.Users.CreateInvite(s.Ctx, &ruedov1.CreateInviteRequest{User: user, Lifetime: f.Expires.proto()})
				return res, session.About(err, "user %s", user)
			},
			Say: func(s *session.Session, m proto.Message) error {
				res, _ := m.(*ruedov1.CreateInviteResponse)
				return sayInvite(s, "its user", res.GetInvite())
			},
		},
	}
}
