package cluster

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/cordon"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/suggest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Runners is the runners of the cluster.
func Runners() *verb.Noun {
	type R = *ruedov1.Runner
	state := func(r R) string {
		s := object.Word(r.GetState())
		if r.GetCordon() != nil {
			s += ",cordoned"
		}
		if r.GetEjection() != nil && !r.GetEjection().GetWaived() {
			s += ",ejected"
		}
		return s
	}
	started := func(r R) string {
		if r.GetStartTime() == nil {
			return "-"
		}
		return output.Since(r.GetStartTime()) + " ago"
	}
	registeredBy := func(r R) string { return cmp.Or(r.GetRegisteredBy(), "itself") }
	return &verb.Noun{
		Name: "runner", Plural: "runners",
		Get: verb.Get[R, runnerNames]{
			Doc: verb.Doc{
				Help:     "List registered runners. HERE is the core that answers: others count their own calls.",
				Examples: []string{"ruedo get runners", "ruedo get runners -o wide"},
			},
			Fetch: func(ctx context.Context, core *client.Client, a runnerNames) ([]R, error) {
				list, err := client.All(core.ListRunners(ctx, &ruedov1.ListRunnersRequest{}))
				if err != nil || len(a.Names) == 0 {
					return list, err
				}
				var found []R
				var failed []error
				for _, name := range a.Names {
					if r, err := runnerNamed(list, name); err != nil {
						failed = append(failed, err)
					} else {
						found = append(found, r)
					}
				}
				return found, session.Failures(failed)
			},
			Message: func(items []R) proto.Message { return &ruedov1.ListRunnersResponse{Items: items} },
			Name:    R.GetId,
			Empty:   "no runners: start one with ruedo runner",
			Warn:    FromMemory,
			Columns: []output.Column[R]{
				{Head: "ID", Cell: R.GetId},
				{Head: "NAME", Cell: R.GetName},
				{Head: "STATE", Cell: state},
				{Head: "HOST", Cell: R.GetHost},
				{Head: "ACTIVE HERE", Cell: func(r R) string { return fmt.Sprint(r.GetActiveCalls()) }},
				{Head: "CALLS HERE", Cell: func(r R) string { return fmt.Sprint(r.GetTotalCalls()) }},
				{Head: "CONCURRENCY", Cell: func(r R) string { return fmt.Sprint(r.GetConcurrency()) }, Wide: true},
				{Head: "QUEUE", Cell: func(r R) string { return fmt.Sprint(r.GetQueue()) }, Wide: true},
				{Head: "STREAMS", Cell: func(r R) string { return fmt.Sprint(r.GetStreams()) }, Wide: true},
				{Head: "PLANS", Cell: func(r R) string { return plans(r.GetPlanUsage()) }, Wide: true},
				{Head: "PLAN MEMORY", Cell: func(r R) string { return planMemory(r.GetPlanUsage()) }, Wide: true},
				{Head: "LABELS", Cell: func(r R) string { return labels.Format(r.GetLabels()) }, Wide: true},
				{Head: "VERSION", Cell: R.GetVersion, Wide: true},
				{Head: "PROTOCOL", Cell: laneProtocol, Wide: true},
				{Head: "REGISTERED BY", Cell: registeredBy, Wide: true},
				{Head: "CORDONED", Cell: cordoned, Wide: true},
				{Head: "EJECTED", Cell: ejected, Wide: true},
				{Head: "AGE", Cell: func(r R) string { return output.Since(r.GetStartTime()) }},
			},
		},
		Describe: verb.Describe[R]{
			Doc: verb.Doc{
				Help:     "Show a runner.",
				Examples: []string{"ruedo describe runner edge-7f3k2m"},
				Argument: "Id or name of the runner.",
			},
			Fetch: findRunner,
			Name:  R.GetId,
			Rows: func(r R) [][]string {
				return [][]string{
					{"Id:", r.GetId()},
					{"Name:", r.GetName()},
					{"Host:", r.GetHost()},
					{"State:", state(r)},
					{"Labels:", labels.Format(r.GetLabels())},
					{"Cordoned:", cordoned(r)},
					{"Ejected:", ejected(r)},
					{"Version:", r.GetVersion()},
					{"Lane protocol:", laneProtocol(r)},
					{"Started:", started(r)},
					{"Calls:", fmt.Sprintf("%d in flight, %d executed for this core", r.GetActiveCalls(), r.GetTotalCalls())},
					{"Concurrency:", fmt.Sprintf("%d concurrent, %d queued, %d open of kind http", r.GetConcurrency(), r.GetQueue(), r.GetStreams())},
					{"Plans:", plans(r.GetPlanUsage()) + " ready"},
					{"Plan memory:", planMemory(r.GetPlanUsage())},
					{"Registered by:", registeredBy(r)},
				}
			},
		},
	}
}

// laneProtocol writes which lane protocol a runner speaks with the core that
// answers, what carries it if that is HTTP/2, and whether it is an older one.
func laneProtocol(r *ruedov1.Runner) string {
	if r.GetLaneProtocol() == 0 {
		return "-"
	}
	text := fmt.Sprint(r.GetLaneProtocol())
	if !r.GetLaneUpgraded() {
		text += " over HTTP/2"
	}
	if r.GetOutdated() {
		text += ", upgrade it"
	}
	return text
}

// cordoned writes who cordoned a runner, and on which terms.
func cordoned(r *ruedov1.Runner) string {
	if r.GetCordon() == nil {
		return "-"
	}
	return cordon.Terms(r.GetCordon())
}

// ejected writes why a core sends a runner no calls, and until when.
func ejected(r *ruedov1.Runner) string {
	e := r.GetEjection()
	if e == nil {
		return "-"
	}
	probe := "next probe in " + output.Duration(max(0, time.Until(e.GetProbeTime().AsTime())).Round(time.Second))
	if e.GetWaived() {
		probe = "gets calls all the same, as too many are ejected; " + probe
	}
	return fmt.Sprintf("%s ago (%s: %s), %s", output.Since(e.GetEjectTime()), e.GetCause(), e.GetMessage(), probe)
}

// plans writes how many plans a runner has ready, as far as the core knows.
func plans(u *ruedov1.PlanUsage) string {
	if u == nil {
		return "-"
	}
	return fmt.Sprint(u.GetPlans())
}

// planMemory writes how much memory they take, and how much they may.
func planMemory(u *ruedov1.PlanUsage) string {
	if u == nil {
		return "-"
	}
	return output.Size(u.GetMemoryBytes()) + " of " + output.Size(u.GetMemoryLimitBytes())
}

// runnerNames is the arguments of the list of runners.
type runnerNames struct {
	Names []string `arg:"" name:"name" optional:"" complete:"runner" help:"List only this one, by id or name. May be repeated."`
}

// Single reports whether one runner is asked for.
func (a runnerNames) Single() bool { return len(a.Names) == 1 }

// findRunner returns the runner with an id, or with a name that only one has.
func findRunner(ctx context.Context, core *client.Client, name string) (*ruedov1.Runner, error) {
	list, err := client.All(core.ListRunners(ctx, &ruedov1.ListRunnersRequest{}))
	if err != nil {
		return nil, err
	}
	return runnerNamed(list, name)
}

// runnerNamed is findRunner in a list.
func runnerNamed(list []*ruedov1.Runner, name string) (*ruedov1.Runner, error) {
	var found []*ruedov1.Runner
	var known []string
	for _, r := range list {
		if r.GetId() == name {
			return r, nil
		}
		if r.GetName() == name {
			found = append(found, r)
		}
		known = append(known, r.GetId())
	}
	if len(found) == 1 {
		return found[0], nil
	}
	e := fault.New(fault.RunnerNotFound, "there is no runner %q", name).WithFix("ruedo get runners")
	if len(found) > 1 {
		e.Message = fmt.Sprintf("%d runners are named %q: give an id", len(found), name)
	} else if hint := suggest.DidYouMean(name, known); hint != "" {
		e.Message += ", " + hint
	}
	return nil, e
}
