// Package cluster is the nouns of the processes that make a cluster: cores,
// runners, and the health of a core.
package cluster

import (
	"context"
	"fmt"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Status is the health of a core.
func Status() *verb.Noun {
	type S = *ruedov1.GetStatusResponse
	return &verb.Noun{
		Name: "status", Plural: "status",
		Get: verb.GetOne[S]{
			Doc: verb.Doc{
				Help:     "Show the health of the core you are connected to.",
				Examples: []string{"ruedo get status", "ruedo get status -o json"},
			},
			Fetch: func(ctx context.Context, core *client.Client) (S, error) {
				return core.Cluster.GetStatus(ctx, &ruedov1.GetStatusRequest{})
			},
			Name: func(res S) string { return res.GetCore().GetId() },
			Rows: statusRows,
		},
	}
}

// FromMemory says that a list can be old: a core lists from memory while the store
// does not answer.
func FromMemory(ctx context.Context, core *client.Client) string {
	res, err := core.Cluster.GetStatus(ctx, &ruedov1.GetStatusRequest{})
	if err != nil || !res.GetStale() {
		return "" // only a hint
	}
	return "the store does not answer: this is what the core remembers (last heard " + output.Duration(res.GetStoreAge().AsDuration()) + " ago)"
}

func statusRows(res *ruedov1.GetStatusResponse) [][]string {
	store := "answers"
	switch {
	case res.GetStale():
		store = "does not answer; calls continue from memory, writes fail (last heard " + output.Duration(res.GetStoreAge().AsDuration()) + " ago)"
	case len(res.GetAlarms()) > 0:
		store = "answers, but see the alarm"
	}
	rows := [][]string{
		{"Cluster:", res.GetClusterId()},
		{"Core:", res.GetCore().GetId() + " " + res.GetCore().GetUrl()},
		{"Version:", res.GetCore().GetVersion()},
		{"Store:", store},
	}
	for _, alarm := range res.GetAlarms() {
		rows = append(rows, []string{"ALARM:", alarm.GetReason() + ": " + alarm.GetMessage()}, []string{"Fix:", alarm.GetFix()})
	}
	execution := "in the core's process"
	if res.GetDistributedExecution() {
		execution = "always on a runner"
	}
	return append(rows,
		[]string{"Execution:", execution},
		[]string{"Runners:", fmt.Sprint(res.GetRunners())},
		[]string{"Services:", fmt.Sprint(res.GetServices())},
	)
}
