package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// getCmd is `ruedo get`.
type getCmd struct {
	Services   getServicesCmd   `cmd:"" aliases:"service,svc" help:"Published services."`
	Decorators getDecoratorsCmd `cmd:"" aliases:"decorator" help:"Decorators."`
	Runners    getRunnersCmd    `cmd:"" aliases:"runner" help:"Runners that are registered."`
	Revisions  getRevisionsCmd  `cmd:"" aliases:"revision" help:"Revisions of a service, newest first."`
	Cores      getCoresCmd      `cmd:"" aliases:"core" help:"Cores of the cluster."`
	Status     getStatusCmd     `cmd:"" help:"How the core that answers is."`
}

func (*getCmd) Examples() []string {
	return []string{"ruedo get services", "ruedo get runners -o wide", "ruedo get revisions greet -o json"}
}

type getServicesCmd struct {
	Name string `arg:"" optional:"" help:"Only this one."`
	Tag  string `placeholder:"TAG" help:"Only those with this tag."`
}

func (*getServicesCmd) Examples() []string {
	return []string{"ruedo get services", "ruedo get services --tag example -o name"}
}

func (c *getServicesCmd) Run(a *app) error {
	core, err := a.connect()
	if err != nil {
		return err
	}
	items, err := client.All(core.ListServices(a.ctx, &ruedov1.ListServicesRequest{Tag: c.Tag}))
	if err != nil {
		return err
	}
	res := &ruedov1.ListServicesResponse{Items: items}
	type S = *ruedov1.Service
	if res.Items, err = only(res.GetItems(), c.Name, S.GetName, fault.ServiceNotFound, "service"); err != nil {
		return err
	}
	return output.List(&a.print, res, res.GetItems(), S.GetName, "no services yet: ruedo new greet && cd greet && ruedo publish",
		output.Column[S]{Head: "NAME", Cell: S.GetName},
		output.Column[S]{Head: "REVISION", Cell: func(s S) string { return fmt.Sprint(s.GetRevision().GetNumber()) }},
		output.Column[S]{Head: "KIND", Cell: func(s S) string { return kindName(s.GetRevision().GetKind()) }},
		output.Column[S]{Head: "DECORATORS", Cell: func(s S) string { return strings.Join(s.GetRevision().GetDecorators(), ",") }},
		output.Column[S]{Head: "MODULE", Cell: func(s S) string { return output.Digest(s.GetRevision().GetModule()) }, Wide: true},
		output.Column[S]{Head: "SIZE", Cell: func(s S) string { return output.Size(s.GetRevision().GetModuleBytes()) }, Wide: true},
		output.Column[S]{Head: "TAGS", Cell: func(s S) string { return strings.Join(s.GetTags(), ",") }, Wide: true},
		output.Column[S]{Head: "UPDATED", Cell: func(s S) string { return age(s.GetUpdateTime()) }},
		output.Column[S]{Head: "DESCRIPTION", Cell: S.GetDescription},
	)
}

type getDecoratorsCmd struct {
	Name string `arg:"" optional:"" help:"Only this one."`
	Tag  string `placeholder:"TAG" help:"Only those with this tag."`
}

func (*getDecoratorsCmd) Examples() []string { return []string{"ruedo get decorators"} }

func (c *getDecoratorsCmd) Run(a *app) error {
	core, err := a.connect()
	if err != nil {
		return err
	}
	items, err := client.All(core.ListDecorators(a.ctx, &ruedov1.ListDecoratorsRequest{Tag: c.Tag}))
	if err != nil {
		return err
	}
	res := &ruedov1.ListDecoratorsResponse{Items: items}
	type D = *ruedov1.Decorator
	if res.Items, err = only(res.GetItems(), c.Name, D.GetName, fault.DecoratorNotFound, "decorator"); err != nil {
		return err
	}
	return output.List(&a.print, res, res.GetItems(), D.GetName, "no decorators yet: ruedo create decorator small --limit memory=32MiB",
		output.Column[D]{Head: "NAME", Cell: D.GetName},
		output.Column[D]{Head: "SCHEMA", Cell: func(d D) string { return yes(d.GetInputSchema() != nil) }},
		output.Column[D]{Head: "LIMITS", Cell: func(d D) string { return limits.Text(d.GetLimits()) }},
		output.Column[D]{Head: "IDEMPOTENT", Cell: func(d D) string { return yes(d.GetPolicy().GetIdempotent()) }},
		output.Column[D]{Head: "TAGS", Cell: func(d D) string { return strings.Join(d.GetTags(), ",") }, Wide: true},
		output.Column[D]{Head: "UPDATED", Cell: func(d D) string { return age(d.GetUpdateTime()) }},
		output.Column[D]{Head: "DESCRIPTION", Cell: D.GetDescription},
	)
}

type getRunnersCmd struct {
	Name string `arg:"" optional:"" help:"Only this one, by id or name."`
}

func (*getRunnersCmd) Examples() []string {
	return []string{"ruedo get runners", "ruedo get runners -o wide"}
}

func (c *getRunnersCmd) Run(a *app) error {
	core, err := a.connect()
	if err != nil {
		return err
	}
	items, err := client.All(core.ListRunners(a.ctx, &ruedov1.ListRunnersRequest{}))
	if err != nil {
		return err
	}
	res := &ruedov1.ListRunnersResponse{Items: items}
	type R = *ruedov1.Runner
	if c.Name != "" {
		r, err := findRunner(res.GetItems(), c.Name)
		if err != nil {
			return err
		}
		res.Items = []R{r}
	}
	return output.List(&a.print, res, res.GetItems(), R.GetId, "no runners: start one with ruedo runner",
		output.Column[R]{Head: "ID", Cell: R.GetId},
		output.Column[R]{Head: "NAME", Cell: R.GetName},
		output.Column[R]{Head: "STATE", Cell: func(r R) string { return stateName(r.GetState()) }},
		output.Column[R]{Head: "HOST", Cell: R.GetHost},
		output.Column[R]{Head: "ACTIVE", Cell: func(r R) string { return fmt.Sprint(r.GetActiveCalls()) }},
		output.Column[R]{Head: "CALLS", Cell: func(r R) string { return fmt.Sprint(r.GetTotalCalls()) }},
		output.Column[R]{Head: "CONCURRENCY", Cell: func(r R) string { return fmt.Sprint(r.GetConcurrency()) }, Wide: true},
		output.Column[R]{Head: "QUEUE", Cell: func(r R) string { return fmt.Sprint(r.GetQueue()) }, Wide: true},
		output.Column[R]{Head: "VERSION", Cell: R.GetVersion, Wide: true},
		output.Column[R]{Head: "REGISTERED BY", Cell: func(r R) string { return or(r.GetRegisteredBy(), "itself") }, Wide: true},
		output.Column[R]{Head: "AGE", Cell: func(r R) string { return age(r.GetStartTime()) }},
	)
}

type getRevisionsCmd struct {
	Name string `arg:"" help:"Name of the service."`
}

func (*getRevisionsCmd) Examples() []string { return []string{"ruedo get revisions greet"} }

func (c *getRevisionsCmd) Run(a *app) error {
	core, err := a.connect()
	if err != nil {
		return err
	}
	items, err := client.All(core.ListRevisions(a.ctx, &ruedov1.ListRevisionsRequest{Name: c.Name}))
	if err != nil {
		return about(err, "service %s", c.Name)
	}
	res := &ruedov1.ListRevisionsResponse{Items: items}
	var live uint64
	if a.print.ForPeople() {
		if s, err := core.Services.GetService(a.ctx, &ruedov1.GetServiceRequest{Name: c.Name}); err == nil {
			live = s.GetService().GetRevision().GetNumber()
		}
	}
	type R = *ruedov1.Revision
	number := func(r R) string { return fmt.Sprint(r.GetNumber()) }
	return output.List(&a.print, res, res.GetItems(), number, "",
		output.Column[R]{Head: "REVISION", Cell: number},
		output.Column[R]{Head: "LIVE", Cell: func(r R) string { return yes(r.GetNumber() == live) }},
		output.Column[R]{Head: "MODULE", Cell: func(r R) string { return output.Digest(r.GetModule()) }},
		output.Column[R]{Head: "SIZE", Cell: func(r R) string { return output.Size(r.GetModuleBytes()) }},
		output.Column[R]{Head: "KIND", Cell: func(r R) string { return kindName(r.GetKind()) }},
		output.Column[R]{Head: "DECORATORS", Cell: func(r R) string { return strings.Join(r.GetDecorators(), ",") }},
		output.Column[R]{Head: "AGE", Cell: func(r R) string { return age(r.GetCreateTime()) }},
	)
}

type getCoresCmd struct{}

func (*getCoresCmd) Examples() []string { return []string{"ruedo get cores"} }

func (c *getCoresCmd) Run(a *app) error {
	core, err := a.connect()
	if err != nil {
		return err
	}
	items, err := client.All(core.ListCores(a.ctx, &ruedov1.ListCoresRequest{}))
	if err != nil {
		return err
	}
	res := &ruedov1.ListCoresResponse{Items: items}
	type C = *ruedov1.Core
	return output.List(&a.print, res, res.GetItems(), C.GetId, "no cores",
		output.Column[C]{Head: "ID", Cell: C.GetId},
		output.Column[C]{Head: "URL", Cell: C.GetUrl},
		output.Column[C]{Head: "HOST", Cell: C.GetHost},
		output.Column[C]{Head: "VERSION", Cell: C.GetVersion},
		output.Column[C]{Head: "AGE", Cell: func(c C) string { return age(c.GetStartTime()) }},
	)
}

type getStatusCmd struct{}

func (*getStatusCmd) Examples() []string {
	return []string{"ruedo get status", "ruedo get status -o json"}
}

func (c *getStatusCmd) Run(a *app) error {
	core, err := a.connect()
	if err != nil {
		return err
	}
	res, err := core.Cluster.GetStatus(a.ctx, &ruedov1.GetStatusRequest{})
	if err != nil {
		return err
	}
	switch {
	case a.print.Format == output.Name:
		return a.say("%s", res.GetCore().GetId())
	case !a.print.ForPeople():
		return a.print.Message(res)
	}
	store := "answers"
	if res.GetStale() {
		store = "does not answer; calls go on from memory, writes fail (last heard " + output.Duration(res.GetStoreAge().AsDuration()) + " ago)"
	}
	rows := [][]string{
		{"Cluster:", res.GetClusterId()},
		{"Core:", res.GetCore().GetId() + " " + res.GetCore().GetUrl()},
		{"Version:", res.GetCore().GetVersion()},
		{"Store:", store},
	}
	for _, alarm := range res.GetAlarms() {
		rows = append(rows, []string{"ALARM:", output.Safe(alarm.GetReason() + ": " + alarm.GetMessage())}, []string{"Fix:", output.Safe(alarm.GetFix())})
	}
	execution := "in the core's process"
	if res.GetDistributedExecution() {
		execution = "always on a runner"
	}
	return a.print.Rows(append(rows,
		[]string{"Execution:", execution},
		[]string{"Runners:", fmt.Sprint(res.GetRunners())},
		[]string{"Services:", fmt.Sprint(res.GetServices())},
	))
}

// only leaves the item of one name, where one is asked for.
func only[T any](items []T, name string, nameOf func(T) string, missing fault.Reason, what string) ([]T, error) {
	if name == "" {
		return items, nil
	}
	var known []string
	for _, item := range items {
		if nameOf(item) == name {
			return []T{item}, nil
		}
		known = append(known, nameOf(item))
	}
	e := fault.New(missing, "there is no %s %q", what, name).WithFix("ruedo get %ss", what)
	if hint := fault.DidYouMean(name, known); hint != "" {
		e.Message += ", " + hint
	}
	return nil, e
}

func kindName(k ruedov1.Kind) string {
	switch k {
	case ruedov1.Kind_KIND_FUNCTION:
		return "function"
	case ruedov1.Kind_KIND_COMMAND:
		return "command"
	}
	return ""
}

func stateName(s ruedov1.RunnerState) string {
	switch s {
	case ruedov1.RunnerState_RUNNER_STATE_READY:
		return "ready"
	case ruedov1.RunnerState_RUNNER_STATE_DRAINING:
		return "draining"
	case ruedov1.RunnerState_RUNNER_STATE_DETACHED:
		return "detached"
	}
	return ""
}

func age(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return output.Age(time.Now(), t.AsTime())
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

func or(values ...string) string {
	i := slices.IndexFunc(values, func(s string) bool { return s != "" })
	if i < 0 {
		return ""
	}
	return values[i]
}
