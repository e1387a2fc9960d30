package core_test

import (
	"slices"
	"testing"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// The procedures about users, roles and tokens, over the wire, in a cluster where
// nobody has to log in yet.
func TestUsersRolesAndTokens(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{})
	ctx := t.Context()
	door := ruedov1connect.NewLoginServiceClient(c.HTTP, c.URL)
	users := ruedov1connect.NewUserServiceClient(c.HTTP, c.URL)
	roles := ruedov1connect.NewRoleServiceClient(c.HTTP, c.URL)
	tokens := ruedov1connect.NewTokenServiceClient(c.HTTP, c.URL)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	hello, err := door.Hello(ctx, &ruedov1.HelloRequest{})
	if err != nil || hello.GetCluster() != "test" || hello.GetLogin() {
		t.Errorf("%v, %v", hello, err)
	}
	_, err = roles.CreateRole(ctx, &ruedov1.CreateRoleRequest{Role: &ruedov1.Role{Name: "team-a", Grants: []string{"* service team-a-*"}}})
	must(err)
	made, err := users.CreateUser(ctx, &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: "ada", Roles: []string{"team-a"}}})
	must(err)
	_, err = users.CreateUser(ctx, &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: "ci", Machine: true, Grants: []string{"call service *"}}})
	must(err)
	link, err := token.ParseLink(token.Invite, made.GetInvite().GetLink())
	if err != nil || link.URL != c.URL {
		t.Fatalf("%v, %v", link, err)
	}
	const password = "correct horse battery"
	_, err = door.AcceptInvite(ctx, &ruedov1.AcceptInviteRequest{Invite: link.Token.Reveal(), Password: password})
	must(err)
	session, err := door.Login(ctx, &ruedov1.LoginRequest{User: "ada", Password: password})
	if err != nil || session.GetSecret() == "" || !session.GetToken().GetSession() {
		t.Fatal(session, err)
	}
	made2, err := tokens.CreateToken(ctx, &ruedov1.CreateTokenRequest{User: "ci", Grants: []string{"call service greet"}})
	must(err)
	if _, err := token.Parse(token.Bearer, made2.GetSecret()); err != nil {
		t.Error(err)
	}

	var names []string
	for page := (&ruedov1.ListUsersRequest{PageSize: 1}); ; {
		res, err := users.ListUsers(ctx, page)
		must(err)
		for _, u := range res.GetItems() {
			names = append(names, u.GetName())
		}
		if res.NextPageToken == nil {
			break
		}
		page.PageToken = res.GetNextPageToken()
	}
	if !slices.Equal(names, []string{"ada", "ci"}) {
		t.Errorf("users %v", names)
	}
	all, err := roles.ListRoles(ctx, &ruedov1.ListRolesRequest{})
	if err != nil || len(all.GetItems()) != 6 {
		t.Errorf("%v, %v", all, err)
	}
	ada, err := users.GetUser(ctx, &ruedov1.GetUserRequest{Name: "ada"})
	if err != nil || ada.GetTokenCount() != 2 || !ada.GetUser().GetHasPassword() {
		t.Errorf("%v, %v", ada, err)
	}
	list, err := tokens.ListTokens(ctx, &ruedov1.ListTokensRequest{User: "ada"})
	if err != nil || len(list.GetItems()) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	_, err = tokens.EndTokens(ctx, &ruedov1.EndTokensRequest{User: "ada"})
	must(err)
	if list, err := tokens.ListTokens(ctx, &ruedov1.ListTokensRequest{}); err != nil || len(list.GetItems()) != 1 || list.GetItems()[0].GetId() != made2.GetToken().GetId() {
		t.Errorf("%v, %v", list, err)
	}

	// What protovalidate and the rooms refuse.
	for what, c := range map[string]struct {
		err  error
		want connect.Code
	}{
		"a name that is none":  {second(users.CreateUser(ctx, &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: "Ada Lovelace"}})), connect.CodeInvalidArgument},
		"no user":              {second(users.CreateUser(ctx, &ruedov1.CreateUserRequest{})), connect.CodeInvalidArgument},
		"a name that is taken": {second(users.CreateUser(ctx, &ruedov1.CreateUserRequest{User: &ruedov1.User{Name: "ci"}})), connect.CodeAlreadyExists},
		"a long password":      {second(door.Login(ctx, &ruedov1.LoginRequest{User: "ada", Password: string(make([]byte, 1025))})), connect.CodeInvalidArgument},
		"a wrong password":     {second(door.Login(ctx, &ruedov1.LoginRequest{User: "ada", Password: "wrong"})), connect.CodeUnauthenticated},
		"a used invite":        {second(door.AcceptInvite(ctx, &ruedov1.AcceptInviteRequest{Invite: link.Token.Reveal(), Password: password})), connect.CodeFailedPrecondition},
		"a role that is used":  {second(roles.DeleteRole(ctx, &ruedov1.DeleteRoleRequest{Name: "team-a"})), connect.CodeFailedPrecondition},
		"a page of others":     {second(roles.ListRoles(ctx, &ruedov1.ListRolesRequest{PageToken: "bm8"})), connect.CodeInvalidArgument},
		"a token of nobody":    {second(tokens.DeleteToken(ctx, &ruedov1.DeleteTokenRequest{Id: "abcdefghij"})), connect.CodeNotFound},
	} {
		if connect.CodeOf(c.err) != c.want {
			t.Errorf("%s: %v", what, c.err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
