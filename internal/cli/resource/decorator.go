package resource

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/cluster"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/source"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

func decorators() *verb.Noun {
	type D = *ruedov1.Decorator
	return &verb.Noun{
		Name: "decorator", Plural: "decorators",
		Get: verb.Get[D, namesOrTag]{
			Doc: verb.Doc{Help: "List decorators.", Examples: []string{"ruedo get decorators"}},
			Fetch: func(ctx context.Context, core *client.Client, args namesOrTag) ([]D, error) {
				return verb.Only(core.ListDecorators(ctx, &ruedov1.ListDecoratorsRequest{Tag: args.Tag}), args.Names, D.GetName, fault.DecoratorNotFound, "decorator")
			},
			Message:  func(items []D) proto.Message { return &ruedov1.ListDecoratorsResponse{Items: items} },
			Document: project.DecoratorDocument,
			Name:     D.GetName,
			Empty:    "no decorators yet: ruedo create decorator small --limit memory=32MiB",
			Warn:     cluster.FromMemory,
			Columns: []output.Column[D]{
				{Head: "NAME", Cell: D.GetName},
				{Head: "REVISION", Cell: func(d D) string { return fmt.Sprint(d.GetRevision()) }, Wide: true},
				{Head: "SCHEMA", Cell: func(d D) string { return output.Yes(d.GetInputSchema() != nil) }},
				{Head: "LIMITS", Cell: func(d D) string { return limits.Text(d.GetLimits()) }},
				{Head: "IDEMPOTENT", Cell: func(d D) string { return output.Yes(d.GetPolicy().GetIdempotent()) }},
				{Head: "EGRESS", Cell: func(d D) string { return strings.Join(d.GetGrants().GetEgress(), "; ") }, Wide: true},
				{Head: "AUTHORIZATION", Cell: func(d D) string { return passes(d) }, Wide: true},
				{Head: "TAGS", Cell: func(d D) string { return strings.Join(d.GetTags(), ",") }, Wide: true},
				{Head: "UPDATED", Cell: func(d D) string { return output.Since(d.GetUpdateTime()) }},
				{Head: "DESCRIPTION", Cell: D.GetDescription},
			},
		},
		Describe: verb.Describe[*ruedov1.GetDecoratorResponse]{
			Doc: verb.Doc{
				Help:     "Show a decorator, and the services that carry it.",
				Examples: []string{"ruedo describe decorator greet-limits"},
			},
			Fetch: func(ctx context.Context, core *client.Client, name string) (*ruedov1.GetDecoratorResponse, error) {
				return core.Decorators.GetDecorator(ctx, &ruedov1.GetDecoratorRequest{Name: name})
			},
			Name: func(res *ruedov1.GetDecoratorResponse) string { return res.GetDecorator().GetName() },
			Rows: func(res *ruedov1.GetDecoratorResponse) [][]string {
				d := res.GetDecorator()
				return [][]string{
					{"Name:", d.GetName()},
					{"Description:", d.GetDescription()},
					{"Tags:", strings.Join(d.GetTags(), ", ")},
					{"Limits:", limits.Text(d.GetLimits())},
					{"Idempotent:", output.Yes(d.GetPolicy().GetIdempotent())},
					{"Egress:", strings.Join(d.GetGrants().GetEgress(), "; ")},
					{"Authorization:", passes(d)},
					{"Revision:", fmt.Sprintf("%d of %d", d.GetRevision(), d.GetLatest())},
					{"Services:", strings.Join(res.GetServices(), ", ")},
					{"Updated:", output.Since(d.GetUpdateTime()) + " ago"},
				}
			},
			More: func(s *session.Session, res *ruedov1.GetDecoratorResponse) error {
				d := res.GetDecorator()
				if d.GetInputSchema() == nil {
					return nil
				}
				if err := s.Printf("\nInputs:"); err != nil {
					return err
				}
				return input.New([]*ruedov1.InputSchema{{Decorator: d.GetName(), Schema: d.GetInputSchema()}}).Print(&s.Print, "")
			},
		},
		Create: verb.Create[decoratorFlags]{
			Doc: verb.Doc{
				Help: "Create a decorator.",
				Examples: []string{
					"ruedo create decorator small --limit memory=32MiB,timeout=1s",
					"ruedo create decorator order-input --schema @order.schema.json",
					`ruedo create decorator devices --egress "tcp://10.20.0.0/16:22"`,
					`ruedo create decorator named --schema '{"type":"object","required":["name"]}'`,
				},
			},
			Do: createDecorator,
		},
		Delete: verb.Delete{
			Doc: verb.Doc{
				Help:     "Delete a decorator that no service carries.",
				Examples: []string{"ruedo delete decorator small --yes"},
			},
			Do: func(ctx context.Context, core *client.Client, name string) (proto.Message, error) {
				return core.Decorators.DeleteDecorator(ctx, &ruedov1.DeleteDecoratorRequest{Name: name})
			},
		},
		Apply: &verb.Apply{
			Kind: project.KindDecorator, Document: project.Decorator{}, Example: project.DecoratorExample,
			About: "The same as in `decorators.yaml`; the [decorator file](decorator-file.md) has the fields of limits and policy.",
			Plan: func(s *session.Session, core *client.Client, doc yamlfile.Document, _ string) (*verb.Plan, error) {
				d, err := project.ReadDecorator(doc)
				if err != nil {
					return nil, err
				}
				source.WarnOfKeywords(s, d)
				return planDecorator(s, core, d, "")
			},
		},
	}
}

// passes says what becomes of the field Authorization of requests; "" if it stays with
// the core.
func passes(d *ruedov1.Decorator) string {
	if d.GetPolicy().GetPassAuthorization() {
		return "passed on"
	}
	return ""
}

// decoratorFlags are the flags of `ruedo create decorator`.
type decoratorFlags struct {
	Schema      string `placeholder:"JSON" help:"JSON Schema (2020-12) of the input, or @FILE, or @- for stdin."`
	limitFlags  `embed:""`
	Egress      []string `placeholder:"RULE" sep:"none" help:"What services may connect to, for example \"GET https://api.example.com\". May be repeated."`
	Idempotent  bool     `help:"Allow executing a call again if it is unknown whether it was executed."`
	PassAuth    bool     `name:"pass-authorization" help:"Let services of kind http that everybody may call see the header field Authorization."`
	Description string   `placeholder:"TEXT" help:"Description of the decorator."`
	Tag         []string `placeholder:"TAG" sep:"none" help:"Tag of the decorator. May be repeated."`
}

func createDecorator(s *session.Session, name string, f decoratorFlags) (proto.Message, error) {
	for limit, value := range f.Limit {
		if value == "" {
			return nil, fault.New(fault.Usage, "--limit %s has no value", limit).WithFix("leave it out, or write for example --limit memory=64MiB")
		}
	}
	if _, err := f.limits().Proto(); err != nil {
		e := *fault.FromError(err) // a flag, not a decorator
		e.Reason = fault.Usage
		return nil, &e
	}
	d := &project.Decorator{
		Name: name, Description: f.Description, Tags: f.Tag, Limits: f.limits(),
		Policy: project.Policy{Idempotent: f.Idempotent, PassAuthorization: f.PassAuth},
		Grants: project.Grants{Egress: f.Egress},
	}
	decorator, err := d.Proto()
	if err != nil {
		return nil, err
	}
	if f.Schema != "" {
		if decorator.InputSchema, err = readSchema(s, f.Schema); err != nil {
			return nil, session.About(err, "decorator %s", name)
		}
	}
	source.WarnOfKeywords(s, decorator)
	core, err := s.ConnectToCreate()
	if err != nil {
		return nil, err
	}
	res, err := core.Decorators.CreateDecorator(s.Ctx, &ruedov1.CreateDecoratorRequest{Decorator: decorator})
	return res.GetDecorator(), session.About(err, "decorator %s", name)
}

// readSchema reads a JSON Schema: inline, @FILE or @-.
func readSchema(s *session.Session, text string) (*structpb.Struct, error) {
	data, where := []byte(text), "--schema"
	if name, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if data, err = s.ReadInput(name); err != nil {
			return nil, err
		}
		where = name
	}
	var object map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&object); err != nil || object == nil || dec.More() {
		syntax := ""
		if e, ok := errors.AsType[*json.SyntaxError](err); ok {
			syntax = fmt.Sprintf(": %s at byte %d", e, e.Offset)
		}
		return nil, fault.Wrap(err, fault.SchemaInvalid, "%s is not a JSON object%s", where, syntax).
			WithFix(`--schema '{"type":"object"}', or --schema @FILE`)
	}
	schema, err := structpb.NewStruct(object)
	if err != nil {
		return nil, fault.Wrap(err, fault.SchemaInvalid, "%s is not JSON: %s", where, err)
	}
	return schema, nil
}
