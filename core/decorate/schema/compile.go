package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate/input"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// root is the name under which a schema refers to itself.
const root = "ruedo:///input"

// compile admits a schema and makes it ready to check inputs. The library reads
// the drafts, resolves references and holds the schema against its metaschema;
// what comes of it are rules, which the checker can count and stop.
func compile(source *structpb.Struct) (r *rule, refused *Refusal) {
	defer func() {
		if p := recover(); p != nil {
			// A schema that confuses the library is not one.
			r, refused = nil, &Refusal{Reason: fault.SchemaInvalid, Text: "cannot be compiled", Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	a := admit(source)
	if a.refusal != nil {
		return nil, a.refusal
	}
	text, err := json.Marshal(source.AsMap())
	if err != nil {
		return nil, &Refusal{Reason: fault.SchemaInvalid, Text: "holds a number that JSON cannot express", Err: err}
	}
	if len(text) > maxSchema {
		return nil, overLimit("bytes", maxSchema, len(text))
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, &Refusal{Reason: fault.SchemaInvalid, Text: "is not JSON", Err: err}
	}
	ps := &patterns{made: make(map[string]*pattern)}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(ps.compile)
	if err := c.AddResource(root, doc); err != nil {
		return nil, schemaRefusal(err)
	}
	compiled, err := c.Compile(root)
	if ps.over != nil {
		return nil, ps.over
	}
	if err != nil {
		return nil, schemaRefusal(err)
	}
	return lower(compiled, a.resources > 0)
}

// errRemote marks a reference that would leave the schema.
var errRemote = errors.New("remote reference")

// noLoader refuses every document outside the schema: a core never opens a
// file or a connection because a schema says so.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errRemote }

func schemaRefusal(err error) *Refusal {
	if le, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return &Refusal{
			Reason: fault.SchemaRemoteRef,
			Text:   fmt.Sprintf("refers to %s, which is outside of it", input.Cut(le.URL, maxDescription)),
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
		// Only what is cut is kept: the whole text can be as long as the schema.
		r.Text += ": " + input.Cut(strings.ReplaceAll(err.Error(), root+"#", ""), maxDescription)
	}
	return r
}
