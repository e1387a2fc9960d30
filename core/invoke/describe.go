package invoke

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Description is what a caller has to know of a service.
type Description struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Revision    uint64 `json:"revision"`
	// Kind is "function" or "command".
	Kind string `json:"kind"`
	// InputSchema is a JSON Schema (2020-12) that every input must match; absent
	// if any input is accepted.
	InputSchema any `json:"input_schema,omitempty"`
	// Example is an input that the service accepts: a JSON value, or text. It is
	// absent if there is none, or if it is neither.
	Example any `json:"example,omitempty"`
	// Idempotent says that a call may be executed twice.
	Idempotent bool    `json:"idempotent"`
	Limits     []Limit `json:"limits"`
}

// Limit is one limit that holds for calls.
type Limit struct {
	Name string `json:"name"`
	// Value with its unit, for example "64 MiB".
	Value string `json:"value"`
	// Decorator that sets it; absent for a default.
	Decorator string `json:"decorator,omitempty"`
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
	default: // each is a document of its own: its references point into it
		var all []any
		for _, s := range schemas {
			all = append(all, s.GetSchema().AsMap())
		}
		d.InputSchema = map[string]any{"allOf": all}
	}
	for _, l := range rules.Effective {
		d.Limits = append(d.Limits, Limit{l.GetLimit(), l.GetValue(), l.GetDecorator()})
	}
	return d
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
