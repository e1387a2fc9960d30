package trust

import (
	"context"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// AuthorityNoun is the certificate authority of the cluster.
func AuthorityNoun() *verb.Noun {
	type A = *ruedov1.GetAuthorityResponse
	return &verb.Noun{
		Name: "authority", Plural: "authority",
		Get: verb.GetOne[A]{
			Doc: verb.Doc{
				Help:     "Show the certificate authority of the cluster, and whether callers have to log in.",
				Examples: []string{"ruedo get authority", "ruedo get authority -o name"},
			},
			Fetch: func(ctx context.Context, core *client.Client) (A, error) {
				return core.Authority.GetAuthority(ctx, &ruedov1.GetAuthorityRequest{})
			},
			Name: func(a A) string { return a.GetAuthority().GetPin() },
			Rows: func(res A) [][]string {
				rows := [][]string{{"Login:", output.Yes(res.GetLogin())}}
				a := res.GetAuthority()
				if a == nil {
					return rows
				}
				rows = append(rows, []string{"Pin:", a.GetPin()}, []string{"Created:", output.Since(a.GetCreateTime()) + " ago"}, []string{"Expires:", until(a.GetExpireTime())})
				if a.GetBridgeUntil() != nil {
					rows = append(rows, []string{"The one before:", "good until " + until(a.GetBridgeUntil())})
				}
				return rows
			},
		},
	}
}
