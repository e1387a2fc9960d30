package schema

import (
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate/admission"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// root is the name under which a schema refers to itself.
const root = "ruedo:///input"

// compile admits a schema and makes its rules. The library implements the
// drafts, checks the schema against its metaschema and resolves references. A
// check with these rules, unlike one by the library, can be counted and
// stopped.
func compile(source *structpb.Struct) (r *rule, refused *Refusal) {
	defer func() {
		if p := recover(); p != nil {
			// The library met something unexpected, so this is not a schema.
			r, refused = nil, &Refusal{Reason: fault.SchemaInvalid, Text: "cannot be compiled", Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	doc, resources, refused := admission.Admit(source)
	if refused != nil {
		return nil, refused
	}
	var ps admission.Patterns
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(func(text string) (jsonschema.Regexp, error) {
		p, err := ps.Compile(text)
		if err != nil {
			return nil, err
		}
		return p, nil
	})
	if err := c.AddResource(root, doc); err != nil {
		return nil, schemaRefusal(err)
	}
	compiled, err := c.Compile(root)
	if ps.Refused() != nil {
		return nil, ps.Refused()
	}
	if err != nil {
		return nil, schemaRefusal(err)
	}
	return lower(compiled, resources)
}

// errRemote marks a reference that would leave the schema.
var errRemote = errors.New("remote reference")

// noLoader refuses every document outside the schema.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errRemote }

func schemaRefusal(err error) *Refusal {
	if le, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return &Refusal{
			Reason: fault.SchemaRemoteRef,
			Text:   fmt.Sprintf("refers to %s, which is outside of it", fault.Cut(le.URL, maxDescription)),
			Fix:    `put it under "$defs" and refer to it with "#/$defs/NAME"`,
		}
	}
	r := &Refusal{Reason: fault.SchemaInvalid, Text: "is not a valid JSON Schema (2020-12)"}
	if sv, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if ve, ok := errors.AsType[*jsonschema.ValidationError](sv.Err); ok {
			r.Fields = schemaFields(ve)
		}
	}
	if len(r.Fields) == 0 {
		// The whole text can be as long as the schema.
		r.Text += ": " + fault.Cut(strings.ReplaceAll(err.Error(), root+"#", ""), maxDescription)
	}
	return r
}
