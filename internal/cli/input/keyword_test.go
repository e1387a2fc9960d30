package input

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestUnknownKeywordsAreNamed(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(`{
		"type": "object", "requird": ["a"], "x-order": 1, "$defs": {"typ": {"minimun": 1}},
		"properties": {"typ": {"typ": "string"}, "list": {"items": {"maxLenght": 3}, "default": {"typ": 1}}},
		"anyOf": [{}, {"nullable": true}], "additionalProperties": false, "enum": [{"typ": 1}]
	}`), &schema); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"input_schema.$defs.typ: minimun is not a keyword of JSON Schema, did you mean minimum?",
		"input_schema.anyOf[1]: nullable is not a keyword of JSON Schema",
		"input_schema.properties.list.items: maxLenght is not a keyword of JSON Schema, did you mean maxLength?",
		"input_schema.properties.typ: typ is not a keyword of JSON Schema, did you mean type?",
		"input_schema: requird is not a keyword of JSON Schema, did you mean required?",
	}
	if got := Unknown(schema); !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}
