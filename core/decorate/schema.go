package decorate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxSchema bounds a schema's JSON, so that compiling it stays cheap.
const maxSchema = 256 << 10

// schema is a compiled JSON Schema. Its patterns are RE2: linear time.
type schema struct {
	compiled *jsonschema.Schema
}

// root is the name under which a schema refers to itself.
const root = "ruedo:///input"

func compileSchema(d *ruedov1.Decorator) (*schema, error) {
	if d.GetInputSchema() == nil {
		return nil, nil
	}
	text, err := json.Marshal(d.GetInputSchema().AsMap())
	if err != nil {
		return nil, fault.Wrap(err, fault.SchemaInvalid, "the input schema of decorator %s holds a number that JSON cannot express", d.GetName())
	}
	if len(text) > maxSchema {
		return nil, fault.New(fault.SchemaInvalid, "the input schema of decorator %s has %d bytes, over the limit of %d", d.GetName(), len(text), maxSchema)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fault.Wrap(err, fault.SchemaInvalid, "the input schema of decorator %s is not JSON", d.GetName())
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	if err := c.AddResource(root, doc); err != nil {
		return nil, schemaFault(d, err)
	}
	compiled, err := c.Compile(root)
	if err != nil {
		return nil, schemaFault(d, err)
	}
	return &schema{compiled}, nil
}

// errRemote marks a reference that would leave the schema.
var errRemote = errors.New("remote reference")

// noLoader refuses every document outside the schema: a core never opens a
// file or a connection because a schema says so.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errRemote }

func schemaFault(d *ruedov1.Decorator, err error) error {
	if le, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return fault.Wrap(err, fault.SchemaRemoteRef, "the input schema of decorator %s refers to %s, which is outside of it", d.GetName(), le.URL).
			WithFix(`put it under "$defs" and refer to it with "#/$defs/NAME"`)
	}
	e := fault.Wrap(err, fault.SchemaInvalid, "the input schema of decorator %s is not a valid JSON Schema (2020-12)", d.GetName())
	if sv, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if ve, ok := errors.AsType[*jsonschema.ValidationError](sv.Err); ok {
			e.Fields = violations(ve, "input_schema")
		}
	}
	if len(e.Fields) == 0 {
		e.Message += ": " + strings.ReplaceAll(err.Error(), root+"#", "")
	}
	return e
}

// parseJSON reads one JSON value, numbers unrounded, nothing behind it.
func parseJSON(b []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		switch se, ok := errors.AsType[*json.SyntaxError](err); {
		case ok:
			return nil, fmt.Errorf("%w at byte %d", se, se.Offset)
		case errors.Is(err, io.EOF):
			return nil, errors.New("it is empty")
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("it ends in the middle, after %d bytes", len(b))
		}
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something follows the value at byte %d", dec.InputOffset())
	}
	return v, nil
}

// maxFields bounds how many violations one answer names.
const maxFields = 64

func (s *schema) violations(v any) []fault.Field {
	err := s.compiled.Validate(v)
	if err == nil {
		return nil
	}
	ve, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []fault.Field{{Path: wholeInput, Description: "cannot be checked: " + err.Error()}}
	}
	return violations(ve, "")
}

// wholeInput is the path of the input itself.
const wholeInput = "(input)"

func violations(ve *jsonschema.ValidationError, prefix string) []fault.Field {
	var out []fault.Field
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(out) >= maxFields {
			return
		}
		// A choice failed as a whole: its branches contradict each other, so
		// the choice is named and not its leaves.
		switch e.ErrorKind.(type) {
		case *kind.AnyOf, *kind.OneOf, *kind.Not:
		default:
			if len(e.Causes) > 0 {
				for _, c := range e.Causes {
					walk(c)
				}
				return
			}
		}
		out = append(out, fields(prefix, e)...)
	}
	walk(ve)
	return out[:min(len(out), maxFields)]
}
