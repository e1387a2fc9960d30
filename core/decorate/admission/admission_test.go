package admission_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate/admission"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// parts returns n parts joined with commas.
func parts(n int, f func(i int) string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = f(i)
	}
	return strings.Join(list, ",")
}

func TestSchemasThatCostTooMuchToCompileAreRefused(t *testing.T) {
	nested := func(n int, open, shut string) string { return strings.Repeat(open, n) + "{}" + strings.Repeat(shut, n) }
	for _, tt := range []struct {
		name, schema string
		want         fault.Reason
		text         string
	}{
		{"3,000 deep", nested(3000, `{"not":`, "}"), fault.SchemaLimit, "levels of nesting; the limit is 128"},
		{"deep allOf", nested(1000, `{"allOf":[`, "]}"), fault.SchemaLimit, "levels of nesting; the limit is 128"},
		{"8,000 patterns", `{"patternProperties":{` + parts(8000, func(i int) string { return fmt.Sprintf(`"^x%d":{"type":"string"}`, i) }) + `}}`, fault.SchemaLimit, "subschemas; the limit is 1000"},
		{"a large enum", `{"enum":[` + parts(30_000, func(i int) string { return fmt.Sprint(i) }) + `]}`, fault.SchemaLimit, "values; the limit is 10000"},
		{"references everywhere", `{"x":{` + parts(450, func(i int) string { return fmt.Sprintf(`"p%d":{"type":"string"}`, i) }) + `},"anyOf":[` + parts(450, func(i int) string { return fmt.Sprintf(`{"$ref":"#/x/p%d"}`, i) }) + `]}`, fault.SchemaLimit, "the limit is 200"},
		{"deep and wide", `{"anyOf":[` + parts(6, func(int) string { return nested(60, `{"`+strings.Repeat("x", 60)+`":`, "}") }) + `]}`, fault.SchemaLimit, "bytes in the paths to its parts"},
		{"a length that no input has", `{"minLength":1e300}`, fault.SchemaLimit, "minLength of 1e+300"},
		{"a part of a metaschema", `{"$schema":"https://json-schema.org/draft/2020-12/meta/core","type":"string"}`, fault.SchemaInvalid, "not a draft"},
		{"a long text", `{"description":"` + strings.Repeat("x", 300<<10) + `"}`, fault.SchemaLimit, "bytes; the limit is 131072"},
		{"a longer text", `{"description":"` + strings.Repeat("x", 2<<20) + `"}`, fault.SchemaLimit, "bytes; the limit is 131072"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := new(structpb.Struct)
			if err := source.UnmarshalJSON([]byte(tt.schema)); err != nil {
				t.Fatal(err)
			}
			_, _, r := admission.Admit(source)
			if r == nil || r.Reason != tt.want || !strings.Contains(r.Text, tt.text) || len(r.Text) > 500 {
				t.Fatalf("refusal = %+v", r)
			}
			if tt.want == fault.SchemaLimit && (r.Limit == "" || r.Actual == "" || r.Fix == "") {
				t.Errorf("limit %q, actual %q, fix %q", r.Limit, r.Actual, r.Fix)
			}
		})
	}
}

// A caller that sends protobuf can put values into a schema that callers who
// speak JSON could never read: their lists of decorators would fail.
func TestSchemasThatAreNotJSONAreRefused(t *testing.T) {
	for name, v := range map[string]*structpb.Value{
		"NaN":      structpb.NewNumberValue(math.NaN()),
		"infinity": structpb.NewNumberValue(math.Inf(-1)),
		"nothing":  {},
		"no value": nil,
	} {
		for where, source := range map[string]*structpb.Struct{
			"keyword": {Fields: map[string]*structpb.Value{"description": v}},
			"list":    {Fields: map[string]*structpb.Value{"enum": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{v}})}},
		} {
			_, _, r := admission.Admit(source)
			if r == nil || r.Reason != fault.SchemaInvalid || !strings.Contains(r.Text, "JSON cannot express") {
				t.Errorf("%s in a %s: %+v", name, where, r)
			}
		}
	}
}

func TestPatternsAreBoundedTogether(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int
		make func(i int) string
		text string
	}{
		{"as many as fit", 256, func(i int) string { return fmt.Sprintf("^x%d", i) }, ""},
		{"the same one again", 1_000, func(int) string { return "^.{1,1000}$" }, ""},
		{"too many", 257, func(i int) string { return fmt.Sprintf("^x%d", i) }, "257 patterns; the limit is 256"},
		{"a large program", 1, func(int) string { return strings.Repeat("a{1000}", 9) }, "instructions in one pattern; the limit is 5000"},
		{"a program too large to compile", 1, func(int) string { return "(a?b?c?d?e?f?){1000}" }, "instructions in one pattern; the limit is 5000"},
		{"large programs", 20, func(i int) string { return fmt.Sprintf("%da{1000}b{900}", i) }, "instructions in its patterns; the limit is 25000"},
		{"a long pattern", 1, func(int) string { return strings.Repeat("a", 3000) }, "3000 bytes in one pattern; the limit is 2048"},
	} {
		var ps admission.Patterns
		var err error
		for i := 0; i < tt.n && err == nil; i++ {
			_, err = ps.Compile(tt.make(i))
		}
		if r := ps.Refused(); tt.text == "" && (err != nil || r != nil) || tt.text != "" && (err == nil || r == nil || !strings.Contains(r.Text, tt.text)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
