package schema_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate/schema"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

func TestSchemasThatCostTooMuchAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name, schema string
		want         fault.Reason
		text         string
	}{
		{"a chain of references", `{"$ref":"#/$defs/a0","$defs":{` + parts(900, func(i int) string { return fmt.Sprintf(`"a%d":{"$ref":"#/$defs/a%d"}`, i, i+1) }) + `,"a900":{"type":"string"}}}`, fault.SchemaLimit, "902 references in a row about one value at its top; the limit is 64"},
		{"doubling references", `{"$ref":"#/$defs/a0","$defs":{` + parts(20, func(i int) string {
			return fmt.Sprintf(`"a%d":{"allOf":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]}`, i, i+1, i+1)
		}) + `,"a20":{"type":"string"}}}`, fault.SchemaLimit, "units of work for one value at its top; the limit is 10000"},
		{"a loop", `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`, fault.SchemaInvalid, "refers to itself"},
		{"a loop in a choice", `{"anyOf":[{"type":"string"},{"$ref":"#"}]}`, fault.SchemaInvalid, "refers to itself"},
		{"a loop in a condition", `{"if":{"type":"string"},"then":{"$ref":"#"}}`, fault.SchemaInvalid, "refers to itself"},
		{"a loop in a dependency", `{"dependentSchemas":{"a":{"$ref":"#"}}}`, fault.SchemaInvalid, "refers to itself"},
		{"300 patterns", `{"patternProperties":{` + parts(300, func(i int) string { return fmt.Sprintf(`"^x%d":{"type":"string"}`, i) }) + `}}`, fault.SchemaLimit, "257 patterns; the limit is 256"},
		{"a large program", `{"pattern":"(` + strings.Repeat("a{1000}", 9) + `)"}`, fault.SchemaLimit, "instructions in one pattern; the limit is 5000"},
		{"large programs", `{"allOf":[` + parts(20, func(i int) string { return fmt.Sprintf(`{"pattern":"%da{1000}b{900}"}`, i) }) + `]}`, fault.SchemaLimit, "instructions in its patterns; the limit is 25000"},
		{"a long pattern", `{"pattern":"` + strings.Repeat("a", 3000) + `"}`, fault.SchemaLimit, "3000 bytes in one pattern; the limit is 2048"},
		{"dynamic references across resources", `{"$defs":{"a":{"$id":"a","$dynamicAnchor":"x","type":"object"},"b":{"$id":"b","$dynamicRef":"a#x"}},"$ref":"b"}`, fault.SchemaInvalid, "depends on the way"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := parse(t, tt.schema)
			began := time.Now()
			err := schema.NewCompiler().Schema(func() *structpb.Struct { return source }).Ready(t.Context())
			if took := time.Since(began); took > tooLong {
				t.Errorf("took %s", took)
			}
			r, ok := errors.AsType[*schema.Refusal](err)
			if !ok || r.Reason != tt.want || !strings.Contains(r.Text, tt.text) || len(r.Text) > 500 {
				t.Fatalf("err = %v %+v", err, r)
			}
			if tt.want == fault.SchemaLimit && (r.Limit == "" || r.Actual == "" || r.Fix == "") {
				t.Errorf("limit %q, actual %q, fix %q", r.Limit, r.Actual, r.Fix)
			}
		})
	}
}

// Schemas that people write stay far below the limits.
func TestHonestSchemasAreAdmitted(t *testing.T) {
	for name, tt := range map[string]struct{ schema, good, bad string }{
		"a tree": {
			`{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"children":{"type":"array","items":{"$ref":"#"}}},"additionalProperties":false}`,
			`{"name":"a","children":[{"name":"b","children":[{"name":"c"}]}]}`, `{"name":"a","children":[{"name":"b","children":[{}]}]}`,
		},
		"an expression": {
			`{"$ref":"#/$defs/e","$defs":{"e":{"oneOf":[{"type":"number"},{"type":"object","required":["op","args"],"properties":{"op":{"enum":["+","*"]},"args":{"type":"array","items":{"$ref":"#/$defs/e"}}}},{"type":"object","required":["neg"],"properties":{"neg":{"$ref":"#/$defs/e"}}}]}}}`,
			strings.Repeat(`{"op":"+","args":[1,`, 8) + "2" + strings.Repeat("]}", 8), `{"op":"-","args":[]}`,
		},
		"240 forms to choose from": {
			`{"oneOf":[` + parts(240, func(i int) string {
				return fmt.Sprintf(`{"properties":{"type":{"const":"t%d"},"n":{"type":"integer"}},"required":["type"]}`, i)
			}) + `]}`,
			`{"type":"t239","n":1}`, `{"type":"t240"}`,
		},
		"draft-07": {
			`{"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"p":{"type":"array","items":[{"type":"number"},{"type":"number"}],"additionalItems":false}},"properties":{"p":{"$ref":"#/definitions/p"}},"dependencies":{"p":["q"]}}`,
			`{"p":[1,2],"q":0}`, `{"p":[1,2,3],"q":0}`,
		},
		"a schema of a schema": {`{"$ref":"http://json-schema.org/draft-07/schema#"}`, `{"type":"string"}`, `{"type":"strnig"}`},
		"a dynamic reference of its own": {
			`{"$dynamicAnchor":"node","type":"object","properties":{"next":{"$dynamicRef":"#node"}},"unevaluatedProperties":false}`, `{"next":{"next":{}}}`, `{"next":{"nxt":{}}}`,
		},
		"a body of OpenAPI": {
			`{"components":{"schemas":{"Pet":{"type":"object","required":["id"],"properties":{"id":{"type":"integer","format":"int64"},"tag":{"type":["string","null"],"maxLength":255,"pattern":"^[a-z]{1,255}$"}}}}},"type":"array","items":{"$ref":"#/components/schemas/Pet"}}`,
			`[{"id":1,"tag":"cat"},{"id":9223372036854775807,"tag":null}]`, `[{"id":1.5}]`,
		},
		"1,000 codes": {`{"enum":[` + parts(1000, func(i int) string { return fmt.Sprintf(`"code-%d"`, i) }) + `]}`, `"code-999"`, `"code-1000"`},
		"prices":      {`{"type":"number","minimum":0,"exclusiveMaximum":1000000,"multipleOf":0.01}`, `19.99`, `19.999`},
	} {
		s := ready(t, tt.schema)
		if fields, err := check(t.Context(), s, []byte(tt.good)); err != nil || len(fields) > 0 {
			t.Errorf("%s: %s is refused: %v %v", name, tt.good, err, fields)
		}
		if fields, err := check(t.Context(), s, []byte(tt.bad)); err != nil || len(fields) == 0 {
			t.Errorf("%s: %s is accepted: %v", name, tt.bad, err)
		}
	}
}
