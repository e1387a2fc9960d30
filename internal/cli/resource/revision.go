package resource

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// revision is a revision of a service or of a decorator, and whether it is live.
type revision struct {
	*ruedov1.Revision
	decorator *ruedov1.Decorator // nil for a service
	live      bool
}

func (r revision) number() string {
	if r.decorator != nil {
		return fmt.Sprint(r.decorator.GetRevision())
	}
	return fmt.Sprint(r.GetNumber())
}

// revisionArgs are the arguments of `ruedo get revisions`.
type revisionArgs struct {
	Name string `arg:"" complete:"service" help:"Name of the service, or decorator/NAME."`
}

// decorator returns the name of the decorator that the arguments ask for.
func (a revisionArgs) decorator() (name string, ok bool) {
	return strings.CutPrefix(a.Name, "decorator/")
}

func revisions() *verb.Noun {
	live := func(r revision) string { return output.Yes(r.live) }
	return &verb.Noun{
		Name: "revision", Plural: "revisions",
		Get: verb.Get[revision, revisionArgs]{
			Doc: verb.Doc{
				Help:     "List the revisions of a service or a decorator, newest first.",
				Examples: []string{"ruedo get revisions greet", "ruedo get revisions decorator/small"},
			},
			Fetch: revisionsOf,
			Message: func(items []revision) proto.Message {
				if len(items) > 0 && items[0].decorator != nil {
					res := &ruedov1.ListDecoratorRevisionsResponse{}
					for _, r := range items {
						res.Items = append(res.Items, r.decorator)
					}
					return res
				}
				res := &ruedov1.ListRevisionsResponse{}
				for _, r := range items {
					res.Items = append(res.Items, r.Revision)
				}
				return res
			},
			Name: revision.number,
			Columns: []output.Column[revision]{
				{Head: "REVISION", Cell: revision.number},
				{Head: "LIVE", Cell: live},
				{Head: "MODULE", Cell: func(r revision) string { return output.Digest(r.GetModule()) }},
				{Head: "SIZE", Cell: func(r revision) string { return output.Size(r.GetModuleBytes()) }},
				{Head: "KIND", Cell: func(r revision) string { return object.Word(r.GetKind()) }},
				{Head: "DECORATORS", Cell: func(r revision) string { return strings.Join(r.GetDecorators(), ",") }},
				{Head: "AGE", Cell: func(r revision) string { return output.Since(r.GetCreateTime()) }},
				{Head: "FROM", Wide: true, Cell: func(r revision) string { return r.GetOrigin() }},
			},
			ColumnsFor: func(a revisionArgs) []output.Column[revision] {
				if _, ok := a.decorator(); !ok {
					return nil
				}
				return []output.Column[revision]{
					{Head: "REVISION", Cell: revision.number},
					{Head: "LIVE", Cell: live},
					{Head: "SCHEMA", Cell: func(r revision) string { return output.Yes(r.decorator.GetInputSchema() != nil) }},
					{Head: "LIMITS", Cell: func(r revision) string { return limits.Text(r.decorator.GetLimits()) }},
					{Head: "IDEMPOTENT", Cell: func(r revision) string { return output.Yes(r.decorator.GetPolicy().GetIdempotent()) }},
					{Head: "EGRESS", Cell: func(r revision) string { return strings.Join(r.decorator.GetGrants().GetEgress(), "; ") }, Wide: true},
					{Head: "AUTHORIZATION", Cell: func(r revision) string { return passes(r.decorator) }, Wide: true},
					{Head: "AGE", Cell: func(r revision) string { return output.Since(r.decorator.GetUpdateTime()) }},
				}
			},
		},
	}
}

func revisionsOf(ctx context.Context, core *client.Client, a revisionArgs) ([]revision, error) {
	if name, ok := a.decorator(); ok {
		return decoratorRevisions(ctx, core, name)
	}
	return serviceRevisions(ctx, core, strings.TrimPrefix(a.Name, "service/"))
}

func serviceRevisions(ctx context.Context, core *client.Client, name string) ([]revision, error) {
	list, err := client.All(core.ListRevisions(ctx, &ruedov1.ListRevisionsRequest{Name: name}))
	if err != nil {
		return nil, session.About(err, "service %s", name)
	}
	// Without the service the list is as good, but for one column.
	service, _ := core.Services.GetService(ctx, &ruedov1.GetServiceRequest{Name: name})
	live := service.GetService().GetRevision().GetNumber()
	var items []revision
	for _, r := range list {
		items = append(items, revision{Revision: r, live: r.GetNumber() == live})
	}
	return items, nil
}

func decoratorRevisions(ctx context.Context, core *client.Client, name string) ([]revision, error) {
	list, err := client.All(core.ListDecoratorRevisions(ctx, &ruedov1.ListDecoratorRevisionsRequest{Name: name}))
	if err != nil {
		return nil, session.About(err, "decorator %s", name)
	}
	live, err := core.Decorators.GetDecorator(ctx, &ruedov1.GetDecoratorRequest{Name: name})
	if err != nil {
		return nil, session.About(err, "decorator %s", name)
	}
	var items []revision
	for _, d := range list {
		items = append(items, revision{decorator: d, live: d.GetRevision() == live.GetDecorator().GetRevision()})
	}
	return items, nil
}
