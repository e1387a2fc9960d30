package resource

import (
	"context"
	"fmt"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

func leader() *verb.Noun {
	type L = *ruedov1.Leader
	return &verb.Noun{
		Name: "leader", Plural: "leader",
		Get: verb.GetOne[L]{
			Doc: verb.Doc{
				Help:     "Show which core does what only one may do.",
				Examples: []string{"ruedo get leader", "ruedo get leader -o name"},
			},
			Fetch: func(ctx context.Context, core *client.Client) (L, error) {
				res, err := core.Leader.GetLeader(ctx, &ruedov1.GetLeaderRequest{})
				return res.GetLeader(), err
			},
			Name: L.GetCore,
			Rows: func(l L) [][]string {
				return [][]string{
					{"Core:", l.GetCore()},
					{"Host:", l.GetHost()},
					{"URL:", l.GetUrl()},
					{"Elected:", age(l.GetElectTime()) + " ago"},
					{"Term:", fmt.Sprint(l.GetTerm())},
				}
			},
		},
	}
}
