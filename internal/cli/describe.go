package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// describeCmd is `ruedo describe`.
type describeCmd struct {
	Service   describeServiceCmd   `cmd:"" aliases:"services" help:"A service: its revision, limits and inputs."`
	Decorator describeDecoratorCmd `cmd:"" aliases:"decorators" help:"A decorator, and the services that carry it."`
	Runner    describeRunnerCmd    `cmd:"" aliases:"runners" help:"A runner."`
}

func (*describeCmd) Examples() []string {
	return []string{"ruedo describe service greet", "ruedo describe decorator greet-input -o yaml"}
}

type describeServiceCmd struct {
	Name string `arg:"" help:"Name of the service."`
}

func (*describeServiceCmd) Examples() []string { return []string{"ruedo describe service greet"} }

func (c *describeServiceCmd) Run(a *app) error {
	core, err := a.connect()
	if err != nil {
		return err
	}
	res, err := core.Services.GetService(a.ctx, &ruedov1.GetServiceRequest{Name: c.Name})
	if err != nil {
		return about(err, "service %s", c.Name)
	}
	if done, err := a.plain(res, c.Name); done {
		return err
	}
	s, r := res.GetService(), res.GetService().GetRevision()
	rows := [][]string{
		{"Name:", s.GetName()},
		{"Description:", s.GetDescription()},
		{"Tags:", strings.Join(s.GetTags(), ", ")},
		{"Revision:", fmt.Sprintf("%d of %d, published %s ago", r.GetNumber(), s.GetLatest(), age(r.GetCreateTime()))},
		{"Kind:", kindName(r.GetKind())},
		{"Isolation:", isolationText(r)},
		{"Module:", fmt.Sprintf("%s (%s)", r.GetModule(), output.Size(r.GetModuleBytes()))},
		{"Decorators:", strings.Join(r.GetDecorators(), ", ")},
		{"Environment:", pairs(r.GetEnv())},
		{"Arguments:", strings.Join(r.GetArgs(), " ")},
		{"Example:", exampleText(r.GetExample())},
		{"Idempotent:", yes(res.GetIdempotent())},
	}
	if err := a.print.Rows(safeRows(rows)); err != nil {
		return err
	}
	table := [][]string{{"LIMIT", "VALUE", "DECORATOR"}}
	for _, l := range res.GetLimits() {
		origin := "(default)"
		if l.GetFollows() != "" {
			origin = "(as " + l.GetFollows() + ")"
		}
		table = append(table, []string{l.GetLimit(), l.GetValue(), or(l.GetDecorator(), origin)})
	}
	if err := a.say("\nLimits:"); err != nil {
		return err
	}
	if err := a.print.Rows(table); err != nil {
		return err
	}
	if err := a.say("\nInputs:"); err != nil {
		return err
	}
	return a.printInputs(input.New(res.GetSchemas()), "any: no decorator has a schema")
}

// isolationText says what holds, and why where that is not what was asked for.
func isolationText(r *ruedov1.Revision) string {
	text := project.IsolationName(r.GetEffectiveIsolation())
	if why := r.GetIsolationReason(); why != "" {
		text += ": " + why
	}
	return text
}

type describeDecoratorCmd struct {
	Name string `arg:"" help:"Name of the decorator."`
}

func (*describeDecoratorCmd) Examples() []string {
	return []string{"ruedo describe decorator greet-input"}
}

func (c *describeDecoratorCmd) Run(a *app) error {
	core, err := a.connect()
	if err != nil {
		return err
	}
	res, err := core.Decorators.GetDecorator(a.ctx, &ruedov1.GetDecoratorRequest{Name: c.Name})
	if err != nil {
		return about(err, "decorator %s", c.Name)
	}
	if done, err := a.plain(res, c.Name); done {
		return err
	}
	d := res.GetDecorator()
	rows := [][]string{
		{"Name:", d.GetName()},
		{"Description:", d.GetDescription()},
		{"Tags:", strings.Join(d.GetTags(), ", ")},
		{"Limits:", limits.Text(d.GetLimits())},
		{"Idempotent:", yes(d.GetPolicy().GetIdempotent())},
		{"Services:", strings.Join(res.GetServices(), ", ")},
		{"Updated:", age(d.GetUpdateTime()) + " ago"},
	}
	if err := a.print.Rows(safeRows(rows)); err != nil {
		return err
	}
	if d.GetInputSchema() == nil {
		return nil
	}
	if err := a.say("\nInputs:"); err != nil {
		return err
	}
	return a.printInputs(input.New([]*ruedov1.InputSchema{{Decorator: d.GetName(), Schema: d.GetInputSchema()}}), "")
}

type describeRunnerCmd struct {
	Name string `arg:"" help:"Id or name of the runner."`
}

func (*describeRunnerCmd) Examples() []string { return []string{"ruedo describe runner edge-7f3k2m"} }

func (c *describeRunnerCmd) Run(a *app) error {
	core, err := a.connect()
	if err != nil {
		return err
	}
	runners, err := client.All(core.ListRunners(a.ctx, &ruedov1.ListRunnersRequest{}))
	if err != nil {
		return err
	}
	r, err := findRunner(runners, c.Name)
	if err != nil {
		return err
	}
	if done, err := a.plain(r, r.GetId()); done {
		return err
	}
	return a.print.Rows(safeRows([][]string{
		{"Id:", r.GetId()},
		{"Name:", r.GetName()},
		{"Host:", r.GetHost()},
		{"State:", stateName(r.GetState())},
		{"Version:", r.GetVersion()},
		{"Started:", age(r.GetStartTime()) + " ago"},
		{"Calls:", fmt.Sprintf("%d under way, %d executed for this core", r.GetActiveCalls(), r.GetTotalCalls())},
		{"Concurrency:", fmt.Sprintf("%d at once, %d waiting", r.GetConcurrency(), r.GetQueue())},
		{"Registered by:", or(r.GetRegisteredBy(), "itself")},
	}))
}

// findRunner finds a runner by its id, or by a name that only one has.
func findRunner(list []*ruedov1.Runner, name string) (*ruedov1.Runner, error) {
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
	} else if hint := fault.DidYouMean(name, known); hint != "" {
		e.Message += ", " + hint
	}
	return nil, e
}

func pairs(m map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+"="+m[k])
	}
	return strings.Join(list, " ")
}

func exampleText(b []byte) string {
	if !utf8.Valid(b) {
		return output.Size(uint64(len(b)))
	}
	if len(b) > 200 {
		return strings.ToValidUTF8(string(b[:200]), "") + "..."
	}
	return string(b)
}

// safeRows makes cells of others' text safe, and empty ones visible.
func safeRows(rows [][]string) [][]string {
	for _, row := range rows {
		for i := range row {
			if row[i] = output.Safe(row[i]); row[i] == "" {
				row[i] = "-"
			}
		}
	}
	return rows
}
