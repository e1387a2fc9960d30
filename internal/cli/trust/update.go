package trust

import (
	"slices"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Update is `ruedo update`.
type Update struct {
	User    UpdateUser    `cmd:"" aliases:"users" help:"Change a user."`
	Role    UpdateRole    `cmd:"" aliases:"roles" help:"Change a role."`
	Cluster UpdateCluster `cmd:"" help:"Have callers log in from now on."`
}

// UpdateUser is `ruedo update user`.
type UpdateUser struct {
	Name        string   `arg:"" complete:"user" help:"Name of the user."`
	Role        []string `placeholder:"ROLE" complete:"role" help:"The roles, in place of those before; '' for none. May be repeated."`
	Grant       []string `placeholder:"GRANT" sep:"none" help:"The grants, in place of those before; '' for none. May be repeated."`
	Description *string  `placeholder:"TEXT" help:"Description of the user."`
	Disable     bool     `xor:"able" help:"Refuse whatever the user shows."`
	Enable      bool     `xor:"able" help:"Accept it again."`
}

// Examples returns the examples in the help.
func (*UpdateUser) Examples() []string {
	return []string{"ruedo update user ada --disable", "ruedo update user ci --grant 'write service team-a-*'"}
}

// Run changes the user.
func (c *UpdateUser) Run(s *session.Session) error {
	if c.Role == nil && c.Grant == nil && c.Description == nil && !c.Disable && !c.Enable {
		return nothing("user", c.Name)
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Users.GetUser(s.Ctx, &ruedov1.GetUserRequest{Name: c.Name})
	if err != nil {
		return session.About(err, "user %s", c.Name)
	}
	u := res.GetUser()
	replace(&u.Roles, c.Role)
	replace(&u.Grants, c.Grant)
	if c.Description != nil {
		u.Description = *c.Description
	}
	u.Disabled = u.GetDisabled() && !c.Enable || c.Disable
	changed, err := core.Users.UpdateUser(s.Ctx, &ruedov1.UpdateUserRequest{User: u})
	if err != nil {
		return session.About(err, "user %s", c.Name)
	}
	if done, err := s.PrintMessage(changed.GetUser(), c.Name); done {
		return err
	}
	return s.Printf("updated user %s", c.Name)
}

// UpdateRole is `ruedo update role`.
type UpdateRole struct {
	Name        string   `arg:"" complete:"role" help:"Name of the role."`
	Grant       []string `placeholder:"GRANT" sep:"none" help:"The grants, in place of those before; '' for none. May be repeated."`
	Description *string  `placeholder:"TEXT" help:"Description of the role."`
}

// Examples returns the examples in the help.
func (*UpdateRole) Examples() []string {
	return []string{"ruedo update role team-a --grant '* service team-a-*' --grant 'use decorator *'"}
}

// Run changes the role.
func (c *UpdateRole) Run(s *session.Session) error {
	if c.Grant == nil && c.Description == nil {
		return nothing("role", c.Name)
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Roles.GetRole(s.Ctx, &ruedov1.GetRoleRequest{Name: c.Name})
	if err != nil {
		return session.About(err, "role %s", c.Name)
	}
	r := res.GetRole()
	replace(&r.Grants, c.Grant)
	if c.Description != nil {
		r.Description = *c.Description
	}
	changed, err := core.Roles.UpdateRole(s.Ctx, &ruedov1.UpdateRoleRequest{Role: r})
	if err != nil {
		return session.About(err, "role %s", c.Name)
	}
	if done, err := s.PrintMessage(changed.GetRole(), c.Name); done {
		return err
	}
	return s.Printf("updated role %s", c.Name)
}

// UpdateCluster is `ruedo update cluster`.
type UpdateCluster struct {
	Auth string `required:"" placeholder:"on" enum:"on" help:"on: callers have to log in. There is no way back."`
	Yes  bool   `short:"y" help:"Do not ask for confirmation."`
}

// Help is the part of the help that comes after the first line.
func (*UpdateCluster) Help() string {
	return `It is done on the machine of a core, whose socket stays open without a login. Programs
that call services need tokens from then on; have them ready: ruedo create user and
ruedo create token work before.`
}

// Examples returns the examples in the help.
func (*UpdateCluster) Examples() []string { return []string{"ruedo update cluster --auth on"} }

// Run has callers log in.
func (c *UpdateCluster) Run(s *session.Session) error {
	if err := s.Confirm(c.Yes, "Have everybody log in from now on? There is no way back."); err != nil {
		return err
	}
	core, err := s.Connect()
	if err != nil {
		return err
	}
	res, err := core.Authority.RequireLogin(s.Ctx, &ruedov1.RequireLoginRequest{})
	if err != nil {
		return err
	}
	if done, err := s.PrintMessage(res, "cluster"); done {
		return err
	}
	s.Progressf("the first administrator: ruedo create user NAME --role admin")
	return s.Printf("callers have to log in from now on")
}

// replace replaces a list if another one is given.
func replace(list *[]string, with []string) {
	if with != nil {
		*list = slices.DeleteFunc(with, func(item string) bool { return item == "" })
	}
}

func nothing(noun, name string) error {
	return fault.New(fault.Usage, "there is nothing to change").WithFix("ruedo update %s %s --help", noun, name)
}
