package project

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// KindService is the kind of a document that describes a service.
const KindService = "Service"

// document is a YAML document in the order of its keys.
type document struct{ yaml.MapSlice }

// add adds a key unless its value is empty.
func (d *document) add(key string, value any, empty bool) {
	if !empty {
		d.MapSlice = append(d.MapSlice, yaml.MapItem{Key: key, Value: value})
	}
}

// DecoratorDocument returns a decorator as a document that [ReadDecorator] reads.
func DecoratorDocument(p *ruedov1.Decorator) any {
	set := &document{}
	for _, row := range limits.Table() {
		v := row.Get(p.GetLimits())
		set.add(row.Name, row.Value(v), v == 0)
	}
	d := &document{}
	d.add("kind", KindDecorator, false)
	d.add("name", p.GetName(), false)
	d.add("description", p.GetDescription(), p.GetDescription() == "")
	d.add("tags", p.GetTags(), len(p.GetTags()) == 0)
	d.add("input_schema", whole(p.GetInputSchema().AsMap()), p.GetInputSchema() == nil)
	d.add("limits", set.MapSlice, len(set.MapSlice) == 0)
	d.add("policy", policyFields(p.GetPolicy()), len(policyFields(p.GetPolicy())) == 0)
	d.add("grants", map[string]any{"egress": p.GetGrants().GetEgress()}, len(p.GetGrants().GetEgress()) == 0)
	return d.MapSlice
}

// ServiceDocument returns a service as a document that `ruedo apply` reads. Its
// module is one that the cluster has.
func ServiceDocument(s *ruedov1.Service) any {
	r := s.GetRevision()
	d := &document{}
	d.add("kind", KindService, false)
	d.add("name", s.GetName(), false)
	d.add("description", s.GetDescription(), s.GetDescription() == "")
	d.add("tags", s.GetTags(), len(s.GetTags()) == 0)
	d.add("decorators", r.GetDecorators(), len(r.GetDecorators()) == 0)
	d.add("env", r.GetEnv(), len(r.GetEnv()) == 0)
	d.add("args", r.GetArgs(), len(r.GetArgs()) == 0)
	d.add("example", exampleValue(r.GetExample()), len(r.GetExample()) == 0)
	d.add("example", requestValues(r.GetHttpExamples()), len(r.GetHttpExamples()) == 0)
	d.add("isolation", IsolationName(r.GetIsolation()), r.GetIsolation() == ruedov1.Isolation_ISOLATION_UNSPECIFIED)
	d.add("placement", r.GetPlacement(), r.GetPlacement() == "")
	d.add("routes", routeValues(r.GetRoutes()), len(r.GetRoutes()) == 0)
	d.add("module", r.GetModule(), false)
	d.add("input_schema", whole(r.GetInputSchema().AsMap()), r.GetInputSchema() == nil)
	d.add("output_schema", whole(r.GetOutputSchema().AsMap()), r.GetOutputSchema() == nil)
	return d.MapSlice
}

// exampleValue returns a value that [Service.ExampleBytes] makes the example of:
// JSON as such if it comes out the same, else the text, else the bytes.
func exampleValue(example []byte) any {
	dec := json.NewDecoder(bytes.NewReader(example))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err == nil && !dec.More() {
		v = whole(v)
		if _, isText := v.(string); !isText && v != nil {
			if again, err := json.Marshal(v); err == nil && bytes.Equal(again, example) {
				return v
			}
		}
	}
	if plain(example) && !bytes.HasPrefix(example, []byte("@")) {
		return string(example)
	}
	return binary(example)
}

// plain reports whether bytes are text that YAML can show as it is.
func plain(b []byte) bool {
	return utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
}

// binary are bytes that are not text as YAML shows it.
type binary []byte

// Text returns them as text in JSON, and reports whether they can be that.
func (b binary) Text() (string, bool) {
	return string(b), utf8.Valid(b) && !bytes.HasPrefix(b, []byte("@"))
}

// MarshalYAML returns them as YAML's !!binary.
func (b binary) MarshalYAML() ([]byte, error) {
	return []byte("!!binary " + base64.StdEncoding.EncodeToString(b)), nil
}

// whole returns a JSON value whose whole numbers are integers, so that YAML
// shows them without a point.
func whole(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = whole(value)
		}
	case []any:
		for i, value := range v {
			v[i] = whole(value)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case float64:
		if n, err := strconv.ParseInt(strconv.FormatFloat(v, 'f', -1, 64), 10, 64); err == nil {
			return n
		}
	}
	return v
}
