package input

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const person = `{
  "type": "object", "required": ["name", "age"], "additionalProperties": false,
  "$defs": {"address": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "string", "pattern": "^[0-9]+$"}}}},
  "properties": {
    "name": {"type": "string", "description": "Whom to greet.", "minLength": 1, "maxLength": 64},
    "age": {"type": "integer", "minimum": 0, "default": 18},
    "weight": {"type": "number"},
    "polite": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string"}},
    "address": {"$ref": "#/$defs/address"},
    "maybe": {"type": ["integer", "null"]},
    "either": {"type": ["integer", "string"]},
    "language": {"enum": ["en", "es"]},
    "level": {"enum": [1, 2]},
    "any": true,
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "lines": {"type": "array", "items": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}, "count": {"type": "integer"}}}},
    "dotted.name": {"type": "integer"}
  }}`

func schemas(t *testing.T, texts ...string) *Schemas {
	t.Helper()
	var list []*ruedov1.InputSchema
	for i, text := range texts {
		s := &structpb.Struct{}
		if err := protojson.Unmarshal([]byte(text), s); err != nil {
			t.Fatal(err)
		}
		list = append(list, &ruedov1.InputSchema{Decorator: string(rune('a' + i)), Schema: s})
	}
	return New(append(list, &ruedov1.InputSchema{Decorator: "limits-only"}))
}

// files stands in for the directory in which the user is.
func files(name string) ([]byte, error) {
	content, ok := map[string]string{"age.txt": "36\n", "name.txt": "Ada\n", "image": "\xff"}[name]
	if !ok {
		return nil, fault.New(fault.Usage, "cannot read %s", name)
	}
	return []byte(content), nil
}

func TestBuild(t *testing.T) {
	s := schemas(t, person)
	for _, tt := range []struct{ base, pairs, want string }{
		{"", "name=36", `{"name":"36"}`},
		{"", "name=a=b", `{"name":"a=b"}`},
		{"", "name=", `{"name":""}`},
		{"", "age=36", `{"age":36}`},
		{"", "age=12345678901234567890", `{"age":12345678901234567890}`},
		{"", "weight=-1.5e3", `{"weight":-1.5e3}`},
		{"", "polite", `{"polite":true}`},
		{"", "polite=no", `{"polite":false}`},
		{"", `tags=["a","b"]`, `{"tags":["a","b"]}`},
		{"", "address.city=Turin address.zip=10100", `{"address":{"city":"Turin","zip":"10100"}}`},
		{"", `address={"city":"Rome"} address.zip=00100`, `{"address":{"city":"Rome","zip":"00100"}}`},
		{"", "maybe=null", `{"maybe":null}`},
		{"", "either=5", `{"either":5}`},
		{"", "either=five", `{"either":"five"}`},
		{"", "language=en", `{"language":"en"}`},
		{"", "level=2", `{"level":2}`},
		{"", "any=5", `{"any":5}`},
		{"", "any=five", `{"any":"five"}`},
		{"", "any", `{"any":true}`},
		{"", "lines.0.sku=1 lines.0.count=2 lines.1.sku=B", `{"lines":[{"count":2,"sku":"1"},{"sku":"B"}]}`},
		{"", "tags.0=a tags.1=2", `{"tags":["a","2"]}`},
		{`{"lines":[{"sku":"A"}]}`, "lines.0.count=3", `{"lines":[{"count":3,"sku":"A"}]}`},
		{"", "labels.a=1 labels.0=2", `{"labels":{"0":"2","a":"1"}}`},
		{"", "name=@name.txt age=@age.txt", `{"age":36,"name":"Ada\n"}`},
		{"", "name=@@ada", `{"name":"@ada"}`},
		{"", "dotted.name=7", `{"dotted.name":7}`},
		{`{"name":"Ada","age":1}`, "age=2", `{"age":2,"name":"Ada"}`},
		{`{"n":12345678901234567890}`, "name=<b>", `{"n":12345678901234567890,"name":"<b>"}`},
	} {
		got, err := s.Build([]byte(tt.base), strings.Fields(tt.pairs), files)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s %s: %s, %v; want %s", tt.base, tt.pairs, got, err, tt.want)
		}
	}
}

func TestBuildWithoutSchema(t *testing.T) {
	got, err := New(nil).Build(nil, []string{"a=1", "b=x", "c", "d=[1]", "e.f=null", `g="1"`, "h=1 2", "i.0=a", "i.1.j=1"}, files)
	if want := `{"a":1,"b":"x","c":true,"d":[1],"e":{"f":null},"g":"\"1\"","h":"1 2","i":["a",{"j":1}]}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

// With two decorators on a service, only the types that both accept count.
func TestBuildTwoSchemas(t *testing.T) {
	s := schemas(t, `{"properties":{"v":{"type":["string","integer"]}}}`, `{"properties":{"v":{"type":"string"},"w":{"type":"integer"}}}`)
	got, err := s.Build(nil, []string{"v=1", "w=2"}, files)
	if want := `{"v":"1","w":2}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestBuildRefused(t *testing.T) {
	s := schemas(t, person)
	for _, tt := range []struct {
		base, pair string
		reason     fault.Reason
		says       string
	}{
		{"", "age=old", fault.InputInvalid, `--set age: an integer is expected, not "old"`},
		{"", "age=1.5", fault.InputInvalid, "an integer is expected"},
		{"", "age=007", fault.InputInvalid, "an integer is expected"},
		{"", "age", fault.InputInvalid, "but there is no value"},
		{"", "polite=perhaps", fault.InputInvalid, "a boolean is expected"},
		{"", "tags=a,b", fault.InputInvalid, "an array is expected"},
		{"", "address=Turin", fault.InputInvalid, "an object is expected"},
		{"", "maybe=x", fault.InputInvalid, "an integer or null is expected"},
		{"", "nmae=Ada", fault.InputInvalid, `there is no input "nmae", did you mean name?`},
		{"", "tags.1=a", fault.Usage, "--set tags.1: tags is an array of 0 elements"},
		{`{"tags":["a"]}`, "tags.first=b", fault.Usage, "tags is an array of 1 elements"},
		{"", "name=@none", fault.Usage, "cannot read none"},
		{"", "name=@image", fault.Usage, "image is not text"},
		{"", "=x", fault.Usage, "names no field"},
		{"[1]", "name=x", fault.Usage, "requires the input to be a JSON object"},
		{"{", "name=x", fault.Usage, "requires the input to be a JSON object"},
		{`{"address":"x"}`, "address.city=y", fault.Usage, "already has a value"},
	} {
		_, err := s.Build([]byte(tt.base), []string{tt.pair}, files)
		if !errors.Is(err, tt.reason) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s %s: %v; want %s and %q", tt.base, tt.pair, err, tt.reason, tt.says)
		}
		if tt.reason == fault.InputInvalid && len(fault.FromError(err).Fields) != 1 {
			t.Errorf("%s: names no field", tt.pair)
		}
	}
}

func TestLines(t *testing.T) {
	var got []string
	for _, l := range schemas(t, person).Lines() {
		r := " "
		if l.Required {
			r = "*"
		}
		got = append(got, strings.Join([]string{r, l.Field, l.Type, l.Text}, "|"))
	}
	want := []string{
		"*|age|integer|(at least 0, default 18)",
		"*|name|string|Whom to greet. (1 to 64 characters)",
		" |address|object|",
		" |address.city|string|",
		" |address.zip|string|(matches ^[0-9]+$)",
		" |any|any|",
		" |dotted.name|integer|",
		" |either|integer or string|",
		" |labels|object|",
		" |language|en|es|",
		" |level|1|2|",
		" |lines|array of object|",
		" |lines[].count|integer|",
		"*|lines[].sku|string|",
		" |maybe|integer or null|",
		" |polite|boolean|",
		" |tags|array of string|",
		" |weight|number|",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Schemas of others must not make the CLI loop.
func TestCycles(t *testing.T) {
	s := schemas(t, `{"$ref":"#"}`, `{"properties":{"a":{"$ref":"#"}},"allOf":[{"$ref":"#"}]}`, `{"allOf":[{"$ref":"#"},{"$ref":"#"}]}`, `{"$ref":"https://example.com/x"}`)
	s.Lines()
	if _, err := s.Build(nil, []string{"a.a.a=1"}, files); err != nil {
		t.Error(err)
	}
}

func TestCandidates(t *testing.T) {
	s := schemas(t, person)
	for pair, want := range map[string]string{
		"language=e":  "language=en language=es",
		"polite=":     "polite=true polite=false",
		"name=":       "",
		"unknown=":    "",
		"level=":      "level=1 level=2",
		"lines.0.sk":  "lines.0.sku=",
		"address.ci":  "address.city=",
		"address.zip": "address.zip=",
	} {
		var got []string
		for _, c := range s.Candidates(pair) {
			if strings.HasPrefix(c, strings.TrimRight(pair, "e")) || !strings.Contains(pair, "=") && strings.HasPrefix(c, pair) {
				got = append(got, c)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", pair, got, want)
		}
	}
}
