package input_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
)

func object(t *testing.T, text string) *structpb.Struct {
	t.Helper()
	s := new(structpb.Struct)
	if err := s.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReconcile(t *testing.T) {
	const types = `{"type":"object","additionalProperties":false,"required":["name","age","to"],"properties":{
		"name":{"type":"string"},"age":{"type":["integer","null"]},"color":{"type":"string","enum":["red","green"]},
		"to":{"$ref":"#/$defs/To"},"lines":{"type":["array","null"],"items":{"type":"object","additionalProperties":false,"required":["sku"],"properties":{"sku":{"type":"string"}}}}},
		"$defs":{"To":{"type":"object","additionalProperties":false,"required":["city"],"properties":{"city":{"type":"string"}}}}}`
	for name, c := range map[string]struct {
		decorator string
		want      []string
		change    map[string]string // in the JSON of types
	}{
		"the same":         {decorator: `{"type":"object","required":["name","age","to"],"additionalProperties":false,"properties":{"name":{"minLength":1},"age":{"type":"number"},"color":{"enum":["red"]},"to":{},"lines":{}}}`},
		"nothing":          {decorator: `{"minProperties":1}`},
		"a missing field":  {decorator: `{"required":["nme"],"properties":{"nme":{"type":"string"},"extra":true}}`, want: []string{"extra: decorator d has it, the types have no such field and refuse it", "nme: decorator d requires it, the types have no such field (did you mean name?): no input is accepted"}},
		"only required":    {decorator: `{"required":["xyzzy"]}`, want: []string{"xyzzy: decorator d requires it, the types have no such field: no input is accepted"}},
		"types":            {decorator: `{"required":["age","name"],"properties":{"age":{"type":"string"},"name":{"type":["integer","boolean"]}}}`, want: []string{"age: decorator d says string, the types say integer or null: no value is accepted", "name: decorator d says integer or boolean, the types say string: no value is accepted"}},
		"values":           {decorator: `{"properties":{"color":{"enum":["blue"]}}}`, want: []string{"color: decorator d says blue, the types say red|green: no value is accepted"}},
		"the whole":        {decorator: `{"type":"array"}`, want: []string{"(input): decorator d says array, the types say object: no value is accepted"}},
		"closed":           {decorator: `{"additionalProperties":false,"required":["name","age"],"properties":{"name":{},"age":{}}}`, want: []string{"color: decorator d refuses it, the types have it", "lines: decorator d refuses it, the types have it", "to: decorator d refuses it, the types require it: no input is accepted"}},
		"nested":           {decorator: `{"required":["to"],"properties":{"to":{"required":["city"],"properties":{"city":{"type":"integer"}}}}}`, want: []string{"to.city: decorator d says integer, the types say string: no value is accepted"}},
		"items":            {decorator: `{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"lines":{"items":{"required":["sku"],"properties":{"sku":{"type":"null"}}}}}}}}`, want: []string{"lines[].sku: decorator d says null, the types say string: no value is accepted"}},
		"in parts":         {decorator: `{"allOf":[{"required":["name"],"properties":{"name":{"type":"boolean"}}}]}`, want: []string{"name: decorator d says boolean, the types say string: no value is accepted"}},
		"opened":           {decorator: `{"additionalProperties":true,"required":["age"],"properties":{"age":{},"nme":{}}}`, change: map[string]string{`{"type":"object","additionalProperties":false,"required":["name","age"`: `{"type":"object","required":["name","age"`}},
		"optional":         {decorator: `{"required":["name","to"],"properties":{"name":{},"age":{},"to":{"properties":{"city":{}}}}}`, change: map[string]string{`"required":["name","age","to"]`: `"required":["name","to"]`, `"required":["city"],`: ``}},
		"refers to itself": {decorator: `{"properties":{"to":{"$ref":"#"}},"allOf":[{"$ref":"#"}]}`, want: []string{"to.to: decorator d has it, the types have no such field and refuse it"}, change: map[string]string{`"required":["name","age","to"]`: `"required":["name","age"]`}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &ruedov1.Decorator{Name: "d", InputSchema: object(t, c.decorator)}
			got, lines := input.Reconcile(object(t, types), []*ruedov1.Decorator{{Name: "none"}, d})
			if diff := cmp.Diff(c.want, lines); diff != "" {
				t.Errorf("contradictions (-want +got):\n%s", diff)
			}
			want := types
			for from, to := range c.change {
				if !strings.Contains(want, from) {
					t.Fatalf("no %s", from)
				}
				want = strings.Replace(want, from, to, 1)
			}
			var w map[string]any
			if err := json.Unmarshal([]byte(want), &w); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w, got.AsMap()); diff != "" {
				t.Errorf("schema (-want +got):\n%s", diff)
			}
		})
	}
}

func TestContradictionsAreBounded(t *testing.T) {
	var fields []string
	for _, c := range "abcdefghijklmnopqrstuvwxyz" {
		fields = append(fields, `"`+strings.Repeat(string(c), 9)+`":{}`)
	}
	d := &ruedov1.Decorator{Name: "d", InputSchema: object(t, `{"properties":{`+strings.Join(fields, ",")+`}}`)}
	_, lines := input.Reconcile(object(t, `{"type":"object","properties":{},"additionalProperties":false}`), []*ruedov1.Decorator{d})
	if len(lines) != 21 || lines[20] != "and 6 more" {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}

func TestTheTypesFillWhatDecoratorsLeaveOut(t *testing.T) {
	lines := input.New([]*ruedov1.InputSchema{
		{Decorator: "d", Schema: object(t, `{"properties":{"name":{"minLength":1},"age":{"type":"integer","description":"Years."}}}`)},
		{Schema: object(t, `{"required":["name"],"properties":{"name":{"type":"string","description":"Who."},"age":{"type":["integer","null"],"description":"Not shown."},
			"lines":{"type":"array","items":{"$ref":"#/$defs/L"}},"to":{"$ref":"#/$defs/L","description":"Here."}},
			"$defs":{"L":{"description":"A line.","type":"object","required":["sku"],"properties":{"sku":{"type":"string"}}}}}`)},
	}).Lines()
	var got []string
	for _, l := range lines {
		required := ""
		if l.Required {
			required = "!"
		}
		got = append(got, l.Field+required+" "+l.Type+" "+l.Decorator+": "+l.Text)
	}
	want := []string{
		"name! string d: Who. (at least 1 characters)", "age integer d: Years.",
		"lines array of object : ", "lines[].sku! string : ", "to object : Here.", "to.sku! string : ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
