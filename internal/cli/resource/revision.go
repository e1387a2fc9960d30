package resource

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// revision is a revision of a service, and whether it is live.
type revision struct {
	*ruedov1.Revision
	live bool
}

func revisions() *verb.Noun {
	type args struct {
		Name string `arg:"" complete:"service" help:"Name of the service."`
	}
	number := func(r revision) string { return fmt.Sprint(r.GetNumber()) }
	return &verb.Noun{
		Name: "revision", Plural: "revisions",
		Get: verb.Get[revision, args]{
			Doc: verb.Doc{
				Help:     "List the revisions of a service, newest first.",
				Examples: []string{"ruedo get revisions greet"},
			},
			Fetch: func(ctx context.Context, core *client.Client, a args) ([]revision, error) {
				list, err := client.All(core.ListRevisions(ctx, &ruedov1.ListRevisionsRequest{Name: a.Name}))
				if err != nil {
					return nil, session.About(err, "service %s", a.Name)
				}
				// Without the service the list is as good, but for one column.
				service, _ := core.Services.GetService(ctx, &ruedov1.GetServiceRequest{Name: a.Name})
				live := service.GetService().GetRevision().GetNumber()
				var items []revision
				for _, r := range list {
					items = append(items, revision{r, r.GetNumber() == live})
				}
				return items, nil
			},
			Message: func(items []revision) proto.Message {
				res := &ruedov1.ListRevisionsResponse{}
				for _, r := range items {
					res.Items = append(res.Items, r.Revision)
				}
				return res
			},
			Name: number,
			Columns: []output.Column[revision]{
				{Head: "REVISION", Cell: number},
				{Head: "LIVE", Cell: func(r revision) string { return yes(r.live) }},
				{Head: "MODULE", Cell: func(r revision) string { return output.Digest(r.GetModule()) }},
				{Head: "SIZE", Cell: func(r revision) string { return output.Size(r.GetModuleBytes()) }},
				{Head: "KIND", Cell: func(r revision) string { return word(r.GetKind(), "KIND_") }},
				{Head: "DECORATORS", Cell: func(r revision) string { return strings.Join(r.GetDecorators(), ",") }},
				{Head: "AGE", Cell: func(r revision) string { return age(r.GetCreateTime()) }},
			},
		},
	}
}
