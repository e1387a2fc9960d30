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
	"github.com/ruedo-dev/ruedo/internal/token"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// tokenArgs are the arguments of `ruedo get tokens`.
type tokenArgs struct {
	verb.ByName
	User string `placeholder:"USER" complete:"user" help:"List only those of this user."`
}

// TokenNoun is what callers show.
func TokenNoun() *verb.Noun {
	type T = *ruedov1.Token
	fetch := func(ctx context.Context, core *client.Client, a tokenArgs) ([]T, error) {
		return verb.Only(core.ListTokens(ctx, &ruedov1.ListTokensRequest{User: a.User}), a.Names, T.GetId, fault.TokenNotFound, "token")
	}
	grants := func(t T) string { return strings.Join(t.GetGrants(), ", ") }
	return &verb.Noun{
		Name: "token", Plural: "tokens",
		Get: verb.Get[T, tokenArgs]{
			Doc:     verb.Doc{Help: "List tokens and sessions, without their secrets.", Argument: "Id of the token.", Examples: []string{"ruedo get tokens", "ruedo get tokens --user ci -o wide"}},
			Fetch:   fetch,
			Message: func(items []T) proto.Message { return &ruedov1.ListTokensResponse{Items: items} },
			Name:    T.GetId,
			Empty:   "no tokens",
			Columns: []output.Column[T]{
				{Head: "ID", Cell: T.GetId},
				{Head: "USER", Cell: T.GetUser},
				{Head: "KIND", Cell: tokenKind},
				{Head: "EXPIRES", Cell: func(t T) string { return until(t.GetExpireTime()) }},
				{Head: "OLD SECRET", Cell: oldSecret},
				{Head: "GRANTS", Cell: grants},
				{Head: "AGE", Cell: func(t T) string { return output.Since(t.GetCreateTime()) }},
				{Head: "DESCRIPTION", Cell: T.GetDescription, Wide: true},
			},
		},
		Describe: verb.Describe[T]{
			Doc: verb.Doc{Help: "Show a token, without its secret.", Argument: "Id of the token.", Examples: []string{"ruedo describe token 7kq2m5x4tb"}},
			Fetch: func(ctx context.Context, core *client.Client, id string) (T, error) {
				list, err := fetch(ctx, core, tokenArgs{ByName: verb.ByName{Names: []string{id}}})
				if err != nil {
					return nil, err
				}
				return list[0], nil
			},
			Name: T.GetId,
			Rows: func(t T) [][]string {
				return [][]string{
					{"Id:", t.GetId()},
					{"User:", t.GetUser()},
					{"Description:", t.GetDescription()},
					{"Kind:", tokenKind(t)},
					{"Expires:", until(t.GetExpireTime())},
					{"Old secret:", oldSecret(t)},
					{"Grants:", grants(t)},
					{"Created:", output.Since(t.GetCreateTime()) + " ago"},
				}
			},
		},
		Create: verb.CreateUnnamed[tokenFlags]{
			Doc: verb.Doc{
				Help: "Create a token, and print its secret, once.",
				Examples: []string{
					"ruedo create token --user ci --expires 90d > ci.token",
					"ruedo create token --grant 'call service greet' --expires 1h",
					"ruedo create token --offline > admin.token",
				},
			},
			Do:  createToken,
			Say: sayToken,
		},
		Delete: verb.Delete{
			Doc:  verb.Doc{Help: "End tokens immediately, on every core.", Argument: "Id of the token.", Examples: []string{"ruedo delete token 7kq2m5x4tb --yes", "ruedo delete tokens --all"}},
			Also: ", which ends what uses it",
			Do: func(ctx context.Context, core *client.Client, id string) (proto.Message, error) {
				return core.Tokens.DeleteToken(ctx, &ruedov1.DeleteTokenRequest{Id: id})
			},
			All: &verb.All{
				Question: "End all tokens and sessions of all users, your own too?",
				Do: func(ctx context.Context, core *client.Client) (proto.Message, error) {
					return core.Tokens.EndTokens(ctx, &ruedov1.EndTokensRequest{Everybody: true})
				},
				Done: "ended all tokens and sessions of all users",
			},
		},
	}
}

// tokenKind says how a token was made.
func tokenKind(t *ruedov1.Token) string {
	if t.GetSession() {
		return "session"
	}
	return "token"
}

// oldSecret says until when the secret before the last rotation is good, and whether
// somebody still shows it.
func oldSecret(t *ruedov1.Token) string {
	switch {
	case t.GetPreviousUntil() == nil:
		return "-"
	case t.GetPreviousUsed() == nil:
		return fmt.Sprintf("until %s, not used", until(t.GetPreviousUntil()))
	}
	return fmt.Sprintf("until %s, used %s ago", until(t.GetPreviousUntil()), output.Since(t.GetPreviousUsed()))
}

// tokenFlags are the flags of `ruedo create token`.
type tokenFlags struct {
	User        string   `placeholder:"USER" complete:"user" help:"User of the token. Default: yourself."`
	Expires     span     `placeholder:"DURATION" help:"How long it is good, at most 366d. Default: 90d for programs, the length of a session for people."`
	Grant       []string `placeholder:"GRANT" sep:"none" help:"Let it do only this of what its user may, for example 'call service greet'. May be repeated."`
	Description string   `placeholder:"TEXT" help:"What it is for."`
	Offline     bool     `help:"Make the token of a first administrator, without asking a core: for auth.admin_token_file."`
}

func createToken(s *session.Session, f tokenFlags) (proto.Message, string, error) {
	if err := keepable(s, "the secret"); err != nil {
		return nil, "", err
	}
	if f.Offline {
		if f.User != "" || f.Expires != 0 || len(f.Grant) > 0 || f.Description != "" {
			return nil, "", fault.New(fault.Usage, "--offline makes the token of an administrator, and has no other flags")
		}
		t := token.New(token.Bearer)
		return &ruedov1.CreateTokenResponse{Token: &ruedov1.Token{Id: t.ID()}, Secret: t.Reveal()}, t.ID(), nil
	}
	core, err := s.Connect()
	if err != nil {
		return nil, "", err
	}
	req := &ruedov1.CreateTokenRequest{User: f.User, Description: f.Description, Grants: f.Grant, Lifetime: f.Expires.proto()}
	res, err := core.Tokens.CreateToken(s.Ctx, req)
	return res, res.GetToken().GetId(), err
}

// secret is an answer with a token and its secret.
type secret interface {
	GetToken() *ruedov1.Token
	GetSecret() string
}

// sayToken prints the secret of a token to stdout, and everything else to stderr.
func sayToken(s *session.Session, m proto.Message) error {
	res, _ := m.(secret)
	t := res.GetToken()
	switch {
	case t.GetUser() == "":
		s.Infof("This is the token %s. Cores believe it as that of an administrator while there is no other: name its file in auth.admin_token_file.", t.GetId())
	default:
		s.Infof("This is the token %s of user %s, good until %s. It is not shown again.", t.GetId(), t.GetUser(), until(t.GetExpireTime()))
	}
	return s.Printf("%s", output.Safe(res.GetSecret()))
}
