package cluster

import (
	"context"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Cores is the cores of the cluster.
func Cores() *verb.Noun {
	type C = *ruedov1.Core
	return &verb.Noun{
		Name: "core", Plural: "cores",
		Get: verb.Get[C, struct{}]{
			Doc: verb.Doc{
				Help:     "List the cores of the cluster, with their state.",
				Examples: []string{"ruedo get cores", "ruedo get cores -o wide"},
			},
			Fetch: func(ctx context.Context, core *client.Client, _ struct{}) ([]C, error) {
				return client.All(core.ListCores(ctx, &ruedov1.ListCoresRequest{}))
			},
			Message: func(items []C) proto.Message { return &ruedov1.ListCoresResponse{Items: items} },
			Name:    C.GetId,
			Empty:   "no cores",
			Warn:    FromMemory,
			Columns: []output.Column[C]{
				{Head: "ID", Cell: C.GetId},
				{Head: "STATE", Cell: func(c C) string { return object.Word(c.GetState()) }},
				{Head: "URL", Cell: C.GetUrl},
				{Head: "HOST", Cell: C.GetHost, Wide: true},
				{Head: "ZONE", Cell: C.GetZone, Wide: true},
				{Head: "VERSION", Cell: C.GetVersion},
				{Head: "STORE MEMBER", Cell: C.GetStoreMember},
				{Head: "LEADER", Cell: func(c C) string { return output.Yes(c.GetLeader()) }},
				{Head: "LAG", Cell: lag},
				{Head: "CALLS/S", Cell: callsPerSecond},
				{Head: "AGE", Cell: func(c C) string { return output.Since(c.GetStartTime()) }},
			},
		},
	}
}

// lag writes how far the memory of a core is behind the store: "0s", or "3s (12
// revisions)"; "" if the core does not say it.
func lag(c *ruedov1.Core) string {
	switch {
	case c.GetLag() == nil:
		return ""
	case c.GetLagRevisions() == 0:
		return output.Duration(c.GetLag().AsDuration().Round(time.Second))
	}
	return output.Duration(c.GetLag().AsDuration()) + " (" + text.Count(int(c.GetLagRevisions()), "revision") + ")"
}

// callsPerSecond writes the calls that a core completes per second; "" if it does
// not answer.
func callsPerSecond(c *ruedov1.Core) string {
	if c.GetLag() == nil {
		return ""
	}
	return strconv.FormatFloat(c.GetCallsPerSecond(), 'f', 1, 64)
}
