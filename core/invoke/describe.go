package invoke

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/packed"
)

// Description is what a caller has to know of a service. The tag help is for
// documents.
type Description struct {
	Name        string `json:"name" help:"Name of the service."`
	Description string `json:"description,omitempty" help:"What the service does."`
	Revision    uint64 `json:"revision" help:"Revision that a call would execute."`
	Kind        string `json:"kind" help:"Whether a call calls a function or runs a command."`
	// InputSchema is a JSON Schema (2020-12).
	InputSchema any `json:"input_schema,omitempty" type:"JSON Schema (2020-12)" help:"What every input must match: the schemas of the decorators and that of the handler's types, joined by allOf if there are several. Absent if any input is accepted."`
	// OutputSchema is a JSON Schema (2020-12).
	OutputSchema any `json:"output_schema,omitempty" type:"JSON Schema (2020-12)" help:"What the handler's types say of the output, which is not checked. Absent if they say nothing."`
	// Example is a JSON value, or text.
	Example    any     `json:"example,omitempty" type:"any" help:"An input that the service accepts: a JSON value, or text. Absent if there is none, or if it is neither."`
	Idempotent bool    `json:"idempotent" help:"Whether a call may be executed again if it is unknown whether it was executed."`
	Limits     []Limit `json:"limits" help:"The limits of a call."`
}

// Limit is one limit that holds for calls.
type Limit struct {
	Name string `json:"name" help:"Name of the limit, such as memory."`
	// Value with its unit, for example "64 MiB".
	Value string `json:"value" help:"Its value with the unit, such as 64 MiB."`
	// Decorator that sets it; absent for a default.
	Decorator string `json:"decorator,omitempty" help:"Decorator that sets it. Absent for a default."`
}

// Describe describes a service, as a call would find it, to whoever may read or call
// it.
func (v *Invoker) Describe(ctx context.Context, service string) (*Description, error) {
	name, number, numbered := strings.Cut(service, "@")
	if r := access.Of(ctx); r == nil || !r.Allows(access.Read, access.Service, name) {
		if err := v.cfg.Check(ctx, access.Call, access.Service, name); err != nil {
			return nil, v.refused(ctx, err, name)
		}
	}
	call, err := v.resolve(ctx, name, number, numbered)
	if err != nil {
		return nil, err
	}
	return call.Describe(), nil
}

// Describe describes the service as this call would find it.
func (c Call) Describe() *Description {
	service, rules := c.entry.Service, c.entry.Rules
	rev := service.GetRevision()
	d := &Description{
		Name: service.GetName(), Description: service.GetDescription(), Revision: rev.GetNumber(),
		Kind:    strings.ToLower(strings.TrimPrefix(rev.GetKind().String(), "KIND_")),
		Example: example(rev.GetExample()), Idempotent: rules.Idempotent,
	}
	switch schemas := rules.Schemas(); len(schemas) {
	case 0:
	case 1:
		d.InputSchema = schemas[0].GetSchema().AsMap()
	default:
		var all []any
		for _, s := range schemas {
			all = append(all, resource(s))
		}
		d.InputSchema = map[string]any{"allOf": all}
	}
	if output := packed.OutputSchema(rev); output != nil {
		d.OutputSchema = output.AsMap()
	}
	for _, l := range rules.Effective() {
		d.Limits = append(d.Limits, Limit{l.GetLimit(), l.GetValue(), l.GetDecorator()})
	}
	return d
}

// resource returns a schema with an id, so that it remains a document of its own
// inside of another: its references point into it.
func resource(s *ruedov1.InputSchema) map[string]any {
	m := s.GetSchema().AsMap()
	if _, ok := m["$id"]; !ok {
		m["$id"] = cmp.Or(s.GetDecorator(), "types.of.the.handler") // no decorator has dots in its name
	}
	return m
}

func example(b []byte) any {
	switch {
	case len(b) == 0 || !utf8.Valid(b):
		return nil
	case json.Valid(b):
		return json.RawMessage(b)
	}
	return string(b)
}
