package resource

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/cluster"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/reach"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/route"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

func services() *verb.Noun {
	type S = *ruedov1.Service
	return &verb.Noun{
		Name: "service", Plural: "services", Aliases: []string{"svc"},
		Get: verb.Get[S, namesOrTag]{
			Doc: verb.Doc{
				Help:     "List published services.",
				Examples: []string{"ruedo get services", "ruedo get services --tag example -o name"},
			},
			Fetch: func(ctx context.Context, core *client.Client, args namesOrTag) ([]S, error) {
				return verb.Only(core.ListServices(ctx, &ruedov1.ListServicesRequest{Tag: args.Tag}), args.Names, S.GetName, fault.ServiceNotFound, "service")
			},
			Message:  func(items []S) proto.Message { return &ruedov1.ListServicesResponse{Items: items} },
			Document: project.ServiceDocument,
			Name:     S.GetName,
			Empty:    "no services yet: ruedo new greet && cd greet && ruedo publish",
			Warn:     cluster.FromMemory,
			Columns: []output.Column[S]{
				{Head: "NAME", Cell: S.GetName},
				{Head: "REVISION", Cell: func(s S) string { return fmt.Sprint(s.GetRevision().GetNumber()) }},
				{Head: "READY", Cell: func(s S) string { return readyWord(s.GetReadiness()) }},
				{Head: "KIND", Cell: func(s S) string { return object.Word(s.GetRevision().GetKind()) }},
				{Head: "DECORATORS", Cell: func(s S) string { return strings.Join(s.GetRevision().GetDecorators(), ",") }},
				{Head: "MODULE", Cell: func(s S) string { return output.Digest(s.GetRevision().GetModule()) }, Wide: true},
				{Head: "SIZE", Cell: func(s S) string { return output.Size(s.GetRevision().GetModuleBytes()) }, Wide: true},
				{Head: "TYPES", Cell: func(s S) string { return typesWord(s.GetRevision()) }, Wide: true},
				{Head: "TAGS", Cell: func(s S) string { return strings.Join(s.GetTags(), ",") }, Wide: true},
				{Head: "UPDATED", Cell: func(s S) string { return output.Since(s.GetUpdateTime()) }},
				{Head: "DESCRIPTION", Cell: S.GetDescription},
				{Head: "NOT READY BECAUSE", Cell: func(s S) string { return s.GetReadiness().GetMessage() }, Wide: true},
			},
		},
		Describe: verb.Describe[*ruedov1.GetServiceResponse]{
			Doc: verb.Doc{
				Help:     "Show a service: its revision, limits and inputs.",
				Examples: []string{"ruedo describe service greet"},
			},
			Fetch: func(ctx context.Context, core *client.Client, name string) (*ruedov1.GetServiceResponse, error) {
				return core.Services.GetService(ctx, &ruedov1.GetServiceRequest{Name: name})
			},
			Name: func(res *ruedov1.GetServiceResponse) string { return res.GetService().GetName() },
			Rows: serviceRows,
			More: serviceTables,
		},
		Delete: verb.Delete{
			Doc: verb.Doc{
				Help:     "Delete a service and all its revisions.",
				Examples: []string{"ruedo delete service greet", "ruedo delete service greet --yes"},
			},
			Also: " and all its revisions",
			Do: func(ctx context.Context, core *client.Client, name string) (proto.Message, error) {
				return core.Services.DeleteService(ctx, &ruedov1.DeleteServiceRequest{Name: name})
			},
		},
		Apply: &verb.Apply{
			Kind: project.KindService, Document: serviceDocument{}, Plan: planDocument,
			About: "What is executed is a source, which is built and published, or a module that the cluster has: exactly one of them. " +
				"With a source, its own `ruedo.yaml` counts too: tags and decorators of the document are added, environment is merged, and the other fields replace what it says.",
			Example: serviceExample,
		},
	}
}

func serviceRows(res *ruedov1.GetServiceResponse) [][]string {
	s, r := res.GetService(), res.GetService().GetRevision()
	isolation := project.IsolationName(r.GetEffectiveIsolation())
	if why := r.GetIsolationReason(); why != "" {
		isolation += ": " + why
	}
	return [][]string{
		{"Name:", s.GetName()},
		{"Description:", s.GetDescription()},
		{"Tags:", strings.Join(s.GetTags(), ", ")},
		{"Revision:", fmt.Sprintf("%d of %d, published %s ago", r.GetNumber(), s.GetLatest(), output.Since(r.GetCreateTime()))},
		{"From:", r.GetOrigin()},
		{"Ready:", readyText(s.GetReadiness())},
		{"Kind:", object.Word(r.GetKind())},
		{"Isolation:", isolation},
		{"Placement:", cmp.Or(r.GetPlacement(), "any runner")},
		{"Module:", fmt.Sprintf("%s (%s)", r.GetModule(), output.Size(r.GetModuleBytes()))},
		{"Decorators:", strings.Join(r.GetDecorators(), ", ")},
		{"Environment:", pairs(r.GetEnv())},
		{"Arguments:", strings.Join(r.GetArgs(), " ")},
		{"Example:", exampleText(r)},
		{"Idempotent:", output.Yes(res.GetIdempotent())},
		{"Authorization:", authorizationText(res.GetAuthorizationBy())},
		{"Routes:", routesText(r)},
	}
}

// authorizationText says which decorators pass the field Authorization on; "" if none
// does.
func authorizationText(decorators []string) string {
	if len(decorators) == 0 {
		return ""
	}
	return "passed on by " + strings.Join(decorators, ", ")
}

// routesText returns where a service of kind http is served.
func routesText(r *ruedov1.Revision) string {
	if r.GetKind() != ruedov1.Kind_KIND_HTTP {
		return ""
	}
	all := []string{reach.URL("", r.GetService())}
	for _, one := range r.GetRoutes() {
		all = append(all, route.Text(one))
	}
	return strings.Join(all, "; ")
}

// typesWord says which schemas the types of the handler make.
func typesWord(r *ruedov1.Revision) string {
	var list []string
	if r.GetInputSchema() != nil {
		list = append(list, "input")
	}
	if r.GetOutputSchema() != nil {
		list = append(list, "output")
	}
	return strings.Join(list, ",")
}

// readyWord says in a word or two whether a service can be called.
func readyWord(r *ruedov1.Readiness) string {
	switch reason := fault.Reason(r.GetReason()); reason {
	case "":
		if r == nil {
			return "" // a core that does not say
		}
		return "ready"
	case "PREPARING":
		return "preparing"
	case fault.NoRunner:
		return "no runner"
	case fault.SchemaLimit:
		return "schema too expensive"
	case fault.SchemaInvalid, fault.SchemaRemoteRef:
		return "schema not valid"
	case fault.DecoratorNotFound:
		return "no decorator"
	case fault.Integrity:
		return "cannot be read"
	default:
		return "cannot run: " + string(reason)
	}
}

// readyText says the same in full.
func readyText(r *ruedov1.Readiness) string {
	switch {
	case r == nil:
		return ""
	case r.GetReason() == "" && r.GetRunners() == 0:
		return "in the core's process"
	case r.GetReason() == "":
		return "on " + text.Count(int(r.GetRunners()), "runner")
	}
	return readyWord(r) + ": " + r.GetMessage()
}

// exampleText returns the first 200 bytes of an example, or the size of one that
// is not text; for kind http, its requests.
func exampleText(r *ruedov1.Revision) string {
	var requests []string
	for _, e := range r.GetHttpExamples() {
		requests = append(requests, reach.Text(e))
	}
	if len(requests) > 0 {
		return strings.Join(requests, "; ")
	}
	b := r.GetExample()
	if !utf8.Valid(b) {
		return output.Size(uint64(len(b)))
	}
	if len(b) > 200 {
		return strings.ToValidUTF8(string(b[:200]), "") + "..."
	}
	return string(b)
}

// serviceTables prints the limits and the inputs of a service.
func serviceTables(s *session.Session, res *ruedov1.GetServiceResponse) error {
	table := [][]string{{"LIMIT", "VALUE", "DECORATOR"}}
	for _, l := range res.GetLimits() {
		origin := "(default)"
		if l.GetFollows() != "" {
			origin = "(as " + l.GetFollows() + ")"
		}
		value := l.GetValue()
		if l.GetLimit() == limits.CPU && res.GetService().GetRevision().GetKind() == ruedov1.Kind_KIND_HTTP {
			value += " a minute"
		}
		table = append(table, []string{l.GetLimit(), value, cmp.Or(l.GetDecorator(), origin)})
	}
	if o := res.GetOpenRequests(); o != nil {
		table = append(table, []string{"open", openText(o), "(runner.streams)"})
	}
	if err := s.Printf("\nLimits:"); err != nil {
		return err
	}
	if err := s.Print.Rows(table); err != nil {
		return err
	}
	if err := printGrants(s, res.GetEgress()); err != nil {
		return err
	}
	if res.GetService().GetRevision().GetKind() == ruedov1.Kind_KIND_HTTP {
		return reach.Print(s, "\nRequests:", res.GetService())
	}
	if err := s.Printf("\nInputs:"); err != nil {
		return err
	}
	if err := input.New(res.GetSchemas()).Print(&s.Print, "any: there is no schema"); err != nil {
		return err
	}
	return input.PrintOutputs(&s.Print, "\nOutputs:", res.GetService().GetRevision().GetOutputSchema())
}

// openText returns how many requests can be open.
func openText(o *ruedov1.OpenRequests) string {
	text := fmt.Sprintf("%d on a core", o.GetCore())
	if o.GetRunner() != 0 {
		text += fmt.Sprintf(", %d on a runner", o.GetRunner())
	}
	return text
}

// printGrants prints what a service may connect to, if it may.
func printGrants(s *session.Session, grants []*ruedov1.EffectiveGrant) error {
	if len(grants) == 0 {
		return nil
	}
	table := [][]string{{"EGRESS", "DECORATOR"}}
	for _, g := range grants {
		table = append(table, []string{g.GetRule(), strings.Join(g.GetDecorators(), ", ")})
	}
	if err := s.Printf("\nGrants:"); err != nil {
		return err
	}
	return s.Print.Rows(table)
}

// serviceDocument is a document of kind Service. Exactly one of Source and
// Module says what is executed.
type serviceDocument struct {
	Kind        string            `yaml:"kind" enum:"Service" required:"" help:"What the document describes."`
	Name        string            `yaml:"name" default:"that of the source" help:"Name of the service. Required with a module."`
	Description string            `yaml:"description" help:"What the service does, for its users."`
	Tags        []string          `yaml:"tags" help:"Words to filter lists by."`
	Decorators  []string          `yaml:"decorators" help:"Names of the decorators that the service carries."`
	Env         project.Env       `yaml:"env" type:"mapping of text" help:"The environment of the guest. A value stays as it is written: 0644 is not a number."`
	Args        project.Args      `yaml:"args" type:"list of text" help:"Arguments of a command, without the name of the program."`
	Example     any               `yaml:"example" type:"any" help:"An input that the service accepts, as in ruedo.yaml. @FILE is relative to the document."`
	Isolation   string            `yaml:"isolation" enum:"pristine,shared,fresh" default:"that of the source, or pristine" help:"What a call sees of earlier calls."`
	Placement   project.Placement `yaml:"placement" type:"text" default:"that of the source, or any runner" help:"Which runners may execute the service, as a label selector."`
	Routes      project.Routes    `yaml:"routes" type:"list of mappings" default:"those of the source" help:"For kind http: where requests reach the service, as in ruedo.yaml."`
	// Source is a directory or a .wasm file, relative to the YAML file.
	Source string `yaml:"source" help:"Directory of the service, or a .wasm file, relative to the document."`
	// Module is the digest of a module that the cluster has.
	Module project.Text `yaml:"module" type:"text" help:"Digest (SHA-256) of a module that the cluster has, as ruedo get service NAME -o yaml prints it."`
	// Without these, the types of a handler in Source make them.
	InputSchema  map[string]any `yaml:"input_schema" type:"JSON Schema (2020-12)" default:"that of the types in the source" help:"What every input must match, next to the schemas of the decorators."`
	OutputSchema map[string]any `yaml:"output_schema" type:"JSON Schema (2020-12)" default:"that of the types in the source" help:"What the service returns, for its users. No output is checked."`
}

// serviceExample is a document for the reference.
const serviceExample = `kind: Service
name: greet
description: Greets by name.
tags: [example]
decorators: [greet-input]
env: {GREETING: Hello}
args: []
example: {"name": "Ada"}
isolation: pristine
placement: zone=eu-1,rack in (7,8),!gpu
source: ./greet              # or module: 528babe928fa...
input_schema: {type: object, required: [name]}
output_schema: {type: object}
`

func planDocument(s *session.Session, core *client.Client, doc yamlfile.Document, base string) (*verb.Plan, error) {
	var d serviceDocument
	if err := doc.Decode(&d); err != nil {
		return nil, err
	}
	if (d.Source == "") == (d.Module == "") {
		return nil, doc.Errorf("exactly one of source (a directory or a .wasm file) and module (a digest) is expected")
	}
	over, err := d.overlay(base)
	if err != nil {
		return nil, doc.Errorf("%s", err)
	}
	if d.Module != "" {
		return planModule(s, core, &d, over)
	}
	path := d.Source
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	src, err := source.Open(s, path, d.Name, over)
	if err != nil {
		return nil, err
	}
	src.Request.Module = client.Digest(src.Wasm)
	src.Settle(s, core)
	p, err := planService(s, core, src.Request, src.Decorators)
	if err != nil {
		return nil, err
	}
	about := func(err error) error { return session.About(err, "service %s", src.Name()) }
	p.Examine = func(ahead []*verb.Plan) error {
		src.Ahead = decoratorsOf(ahead)
		return about(src.Examine(s, true))
	}
	p.Check = func(force bool) error {
		for _, with := range p.With {
			if err := with.Check(force); err != nil {
				return err
			}
		}
		return nil
	}
	p.Do = func(force bool) (bool, error) {
		res, err := src.Publish(s, core, force)
		return res.GetUnchanged(), about(err)
	}
	return p, nil
}

// planModule is planDocument for a module that the cluster has.
func planModule(s *session.Session, core *client.Client, d *serviceDocument, over source.Overlay) (*verb.Plan, error) {
	r := &ruedov1.PublishServiceRequest{Name: d.Name, Module: string(d.Module)}
	if err := over.Apply(r); err != nil {
		return nil, err
	}
	// What the example is depends on the kind of the module. One that the cluster does not
	// have yet can come with an import: then Do looks again.
	kind := ruedov1.Kind_KIND_UNSPECIFIED
	setExample := func() error {
		module, _ := core.Modules.StatModule(s.Ctx, &ruedov1.StatModuleRequest{Digest: r.GetModule()}) // Check says if it is missing
		kind, r.Example, r.HttpExamples = module.GetModule().GetKind(), nil, nil
		return source.SetExample(r, kind, over.Example, over.Dir)
	}
	if err := setExample(); err != nil {
		return nil, err
	}
	p, err := planService(s, core, r, nil)
	if err != nil {
		return nil, err
	}
	about := func(err error) error { return session.About(err, "service %s", d.Name) }
	var defined []string
	p.Examine = func(ahead []*verb.Plan) error {
		for _, d := range decoratorsOf(ahead) {
			defined = append(defined, d.GetName())
		}
		return nil
	}
	p.Check = func(bool) error {
		for _, name := range r.GetDecorators() {
			if slices.Contains(defined, name) {
				continue
			}
			if _, err := core.Decorators.GetDecorator(s.Ctx, &ruedov1.GetDecoratorRequest{Name: name}); err != nil {
				return about(err)
			}
		}
		_, err := core.Modules.StatModule(s.Ctx, &ruedov1.StatModuleRequest{Digest: r.GetModule()})
		return about(err)
	}
	p.Do = func(force bool) (bool, error) {
		if kind == ruedov1.Kind_KIND_UNSPECIFIED {
			if err := setExample(); err != nil {
				return false, err
			}
		}
		r.Force = force
		res, err := core.Services.PublishService(s.Ctx, r)
		source.WarnOf(s, res)
		return res.GetUnchanged(), about(err)
	}
	return p, nil
}

// overlay returns what the document says over what the source says.
func (d *serviceDocument) overlay(base string) (source.Overlay, error) {
	over := source.Overlay{
		Description: d.Description, Tags: d.Tags, Decorators: d.Decorators, Env: d.Env.Strings(), Example: d.Example, Dir: base,
		InputSchema: d.InputSchema, OutputSchema: d.OutputSchema, Placement: string(d.Placement), Routes: d.Routes,
	}
	if d.Args != nil {
		over.Args = append([]string{}, d.Args.Strings()...)
	}
	var err error
	over.Isolation, err = project.ParseIsolation(d.Isolation)
	return over, err
}
