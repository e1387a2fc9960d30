package resource

import (
	"context"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

func cores() *verb.Noun {
	type C = *ruedov1.Core
	return &verb.Noun{
		Name: "core", Plural: "cores",
		Get: verb.Get[C, nothing]{
			Doc: verb.Doc{Help: "List the cores of the cluster.", Examples: []string{"ruedo get cores"}},
			Fetch: func(ctx context.Context, core *client.Client, _ nothing) ([]C, error) {
				return client.All(core.ListCores(ctx, &ruedov1.ListCoresRequest{}))
			},
			Message: func(items []C) proto.Message { return &ruedov1.ListCoresResponse{Items: items} },
			Name:    C.GetId,
			Empty:   "no cores",
			Warn:    fromMemory,
			Columns: []output.Column[C]{
				{Head: "ID", Cell: C.GetId},
				{Head: "URL", Cell: C.GetUrl},
				{Head: "HOST", Cell: C.GetHost},
				{Head: "VERSION", Cell: C.GetVersion},
				{Head: "AGE", Cell: func(c C) string { return age(c.GetStartTime()) }},
			},
		},
	}
}
