package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func decode(text []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err == nil || err.Error() != "EOF" {
		return nil, errors.New("something follows")
	}
	return v, nil
}

// An admitted schema gives the same verdict on an input as the library, within
// its budget and with a small answer.
func FuzzSchema(f *testing.F) {
	for _, s := range []struct{ schema, input string }{
		{`{"type":"object","required":["a"],"properties":{"a":{"type":"integer","minimum":0},"b":{"enum":[1,"x",null,[1,{"c":2}]]}},"additionalProperties":false}`, `{"a":1,"b":[1.0,{"c":2}]}`},
		{`{"oneOf":[{"type":"string","maxLength":3},{"items":{"$ref":"#"},"type":"array","uniqueItems":true}]}`, `["a",["b","é"],[1,1.0]]`},
		{`{"$defs":{"n":{"allOf":[{"properties":{"l":{"$ref":"#/$defs/n"}}},{"properties":{"r":{"$ref":"#/$defs/n"}}}],"unevaluatedProperties":false}},"$ref":"#/$defs/n"}`, `{"l":{"r":{}},"r":{"x":1}}`},
		{`{"if":{"properties":{"k":{"const":1}}},"then":{"required":["v"]},"else":{"not":{"required":["v"]}},"dependentRequired":{"a":["b"]},"dependentSchemas":{"b":{"minProperties":3}},"propertyNames":{"pattern":"^[a-z]$"}}`, `{"k":2,"a":1,"b":2}`},
		{`{"prefixItems":[{"type":"null"}],"items":{"multipleOf":0.01},"contains":{"exclusiveMaximum":5},"minContains":2,"maxContains":3,"unevaluatedItems":false}`, `[null,1.25,4.999,12]`},
		{`{"patternProperties":{"^x":{"format":"email"}},"anyOf":[{"$ref":"#/$defs/a"},{"$anchor":"b","maxProperties":1}],"$defs":{"a":{"$ref":"#b"}},"not":{"minProperties":4}}`, `{"xa":"a@b.c","y":0}`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"a":{"items":[{"type":"number"}],"additionalItems":{"type":"string"}}},"properties":{"q":{"$ref":"#/definitions/a"}},"dependencies":{"q":["r"],"r":{"required":["s"]}}}`, `{"q":[1,"a"],"r":0}`},
		{`{"$schema":"http://json-schema.org/draft-04/schema#","minimum":3,"exclusiveMinimum":true}`, `3`},
		{`{"$dynamicAnchor":"n","properties":{"c":{"items":{"$dynamicRef":"#n"}}},"unevaluatedProperties":{"type":"boolean"}}`, `{"c":[{"x":true},{"y":1}]}`},
		{`{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"}]}}}`, `1`},
	} {
		f.Add([]byte(s.schema), []byte(s.input))
	}
	f.Fuzz(func(t *testing.T, schemaText, input []byte) {
		source := new(structpb.Struct)
		if len(schemaText) > 4<<10 || len(input) > 4<<10 || source.UnmarshalJSON(schemaText) != nil {
			return
		}
		s := NewCompiler().Schema(func() *structpb.Struct { return source })
		if err := s.Ready(t.Context()); err != nil {
			r, ok := errors.AsType[*Refusal](err)
			if !ok || r.Reason != fault.SchemaInvalid && r.Reason != fault.SchemaLimit && r.Reason != fault.SchemaRemoteRef || len(r.Text) > 1000 {
				t.Fatalf("%s: %v %+v", schemaText, err, r)
			}
			return
		}
		c, err := s.Checker(t.Context(), input)
		if err != nil {
			return
		}
		value, err := decode(input)
		if err != nil {
			t.Fatal(err)
		}
		fits := c.check(s.shared.rule, 0, false, nil)
		if c.stopped != nil && c.stopped != errEnough {
			// With so small an input, only a schema that is checked again and
			// again on the way down reaches its limits.
			return
		}
		if fits && len(c.fields) > 0 || !fits && len(c.fields) == 0 {
			t.Fatalf("%s: %s: fits %v, fields %v", schemaText, input, fits, c.fields)
		}
		quiet, err := NewCompiler().Schema(func() *structpb.Struct { return source }).Checker(t.Context(), input)
		if err != nil {
			t.Fatal(err)
		}
		if quiet.check(s.shared.rule, 0, true, nil) != fits && quiet.stopped == nil {
			t.Fatalf("%s: %s: fits %v, and not so if nobody asks why", schemaText, input, fits)
		}
		if quiet.stopped == nil && maxWork-quiet.left > maxWork/10 {
			return // the library would take too long
		}
		library, known := libraryOf(source)
		if known && (library.Validate(value) == nil) != fits {
			t.Fatalf("%s: %s: fits %v, and not so to the library", schemaText, input, fits)
		}
	})
}

// libraryOf compiles a schema with the library alone. It reports false if the
// library is known to differ: for drafts before 2019-09, the library still
// checks some keywords next to a reference, and it refuses what it cannot
// decide.
func libraryOf(source *structpb.Struct) (*jsonschema.Schema, bool) {
	text, err := json.Marshal(source.AsMap())
	if err != nil {
		return nil, false
	}
	if bytes.Contains(text, []byte("draft-0")) && bytes.Contains(text, []byte("$ref")) {
		return nil, false
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, false
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	if c.AddResource(root, doc) != nil {
		return nil, false
	}
	s, err := c.Compile(root)
	return s, err == nil
}
