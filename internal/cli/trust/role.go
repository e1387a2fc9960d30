package trust

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// RoleNoun is the roles of the cluster.
func RoleNoun() *verb.Noun {
	type R = *ruedov1.Role
	type flags struct {
		Grant       []string `placeholder:"GRANT" sep:"none" help:"What users with the role may do, for example 'call service team-a-*'. May be repeated."`
		Description string   `placeholder:"TEXT" help:"Description of the role."`
	}
	grants := func(r R) string { return strings.Join(r.GetGrants(), ", ") }
	return &verb.Noun{
		Name: "role", Plural: "roles",
		Get: verb.Get[R, verb.ByName]{
			Doc: verb.Doc{Help: "List the roles: named lists of grants.", Examples: []string{"ruedo get roles"}},
			Fetch: func(ctx context.Context, core *client.Client, a verb.ByName) ([]R, error) {
				return verb.Only(core.ListRoles(ctx, &ruedov1.ListRolesRequest{}), a.Names, R.GetName, fault.RoleNotFound, "role")
			},
			Message: func(items []R) proto.Message { return &ruedov1.ListRolesResponse{Items: items} },
			Name:    R.GetName,
			Empty:   "no roles",
			Columns: []output.Column[R]{
				{Head: "NAME", Cell: R.GetName},
				{Head: "BUILT IN", Cell: func(r R) string { return output.Yes(r.GetBuiltIn()) }},
				{Head: "GRANTS", Cell: grants},
				{Head: "AGE", Cell: func(r R) string { return output.Since(r.GetCreateTime()) }, Wide: true},
				{Head: "DESCRIPTION", Cell: R.GetDescription, Wide: true},
			},
		},
		Describe: verb.Describe[*ruedov1.GetRoleResponse]{
			Doc: verb.Doc{Help: "Show a role, and who has it.", Examples: []string{"ruedo describe role publisher"}},
			Fetch: func(ctx context.Context, core *client.Client, name string) (*ruedov1.GetRoleResponse, error) {
				return core.Roles.GetRole(ctx, &ruedov1.GetRoleRequest{Name: name})
			},
			Name: func(res *ruedov1.GetRoleResponse) string { return res.GetRole().GetName() },
			Rows: func(res *ruedov1.GetRoleResponse) [][]string {
				r := res.GetRole()
				rows := [][]string{{"Name:", r.GetName()}, {"Description:", r.GetDescription()}, {"Built in:", output.Yes(r.GetBuiltIn())}, {"Grants:", grants(r)}, {"Users:", strings.Join(res.GetUsers(), ", ")}}
				if r.GetUpdateTime() != nil {
					rows = append(rows, []string{"Updated:", output.Since(r.GetUpdateTime()) + " ago"})
				}
				return rows
			},
		},
		Create: verb.Create[flags]{
			Doc: verb.Doc{
				Help:     "Create a role.",
				Examples: []string{"ruedo create role team-a --grant '* service team-a-*' --grant 'use decorator *'"},
			},
			Do: func(s *session.Session, name string, f flags) (proto.Message, error) {
				core, err := s.Connect()
				if err != nil {
					return nil, err
				}
				role := &ruedov1.Role{Name: name, Description: f.Description, Grants: f.Grant}
				res, err := core.Roles.CreateRole(s.Ctx, &ruedov1.CreateRoleRequest{Role: role})
				return res.GetRole(), session.About(err, "role %s", name)
			},
		},
		Delete: verb.Delete{
			Doc: verb.Doc{Help: "Delete a role that no user has.", Examples: []string{"ruedo delete role team-a --yes"}},
			Do: func(ctx context.Context, core *client.Client, name string) (proto.Message, error) {
				return core.Roles.DeleteRole(ctx, &ruedov1.DeleteRoleRequest{Name: name})
			},
		},
	}
}
