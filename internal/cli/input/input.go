// Package input builds the input of a call from --set pairs, and describes the
// inputs that a service accepts. Both read the JSON Schemas of its decorators.
//
// [Schemas.Build] types each value as the schema says: --set age=36 is a number
// if age is an integer, and text if it is a string. If no schema knows the
// field, JSON literals keep their type and everything else is text.
package input

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// Schemas are the input schemas of one service. A call must pass all.
type Schemas struct {
	list []schema
}

// schema is one JSON Schema together with the document that its references
// point into.
type schema struct {
	root      map[string]any
	node      map[string]any
	decorator string
}

// New reads the schemas that the API returns.
func New(list []*ruedov1.InputSchema) *Schemas {
	s := &Schemas{}
	for _, in := range list {
		if in.GetSchema() == nil {
			continue
		}
		root := in.GetSchema().AsMap()
		s.list = append(s.list, schema{root, root, in.GetDecorator()})
	}
	return s
}

// Empty reports whether any input is accepted.
func (s *Schemas) Empty() bool { return len(s.list) == 0 }

// Build lays pairs ("name=Ada", "address.city=Turin", "polite") over base, a
// JSON object or nothing, and returns the JSON.
func (s *Schemas) Build(base []byte, pairs []string) ([]byte, error) {
	object := map[string]any{}
	if len(bytes.TrimSpace(base)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(base))
		dec.UseNumber()
		if err := dec.Decode(&object); err != nil || object == nil || dec.More() {
			return nil, fault.Wrap(err, fault.Usage, "--set requires the input to be a JSON object")
		}
	}
	for _, pair := range pairs {
		key, text, hasValue := strings.Cut(pair, "=")
		if key == "" {
			return nil, fault.New(fault.Usage, "--set %s names no field", pair).WithFix("--set FIELD=VALUE")
		}
		path, found := s.path(key)
		if err := s.known(key, path); err != nil {
			return nil, err
		}
		value, err := typed(key, text, hasValue, found)
		if err != nil {
			return nil, err
		}
		if err := place(object, path, value); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(object); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// path splits a key at its dots. A field whose name holds dots wins over a
// nested one. found are the schemas of that field, one for each decorator
// that knows it.
func (s *Schemas) path(key string) (path []string, found []schema) {
	for _, path := range [][]string{{key}, strings.Split(key, ".")} {
		for _, sc := range s.list {
			if f, ok := sc.at(path); ok {
				found = append(found, f)
			}
		}
		if len(found) > 0 {
			return path, found
		}
	}
	return strings.Split(key, "."), nil
}

// known refuses a field that a schema rules out, so that a typing error is
// named as one.
func (s *Schemas) known(key string, path []string) error {
	for _, sc := range s.list {
		properties := sc.properties()
		if closed, ok := sc.deref().node["additionalProperties"].(bool); !ok || closed || len(properties) == 0 {
			continue
		}
		names := slices.Sorted(maps.Keys(properties))
		if slices.Contains(names, path[0]) || slices.Contains(names, key) {
			continue
		}
		message := fmt.Sprintf("there is no input %q", path[0])
		if hint := suggest.DidYouMean(path[0], names); hint != "" {
			message += ", " + hint
		} else {
			message += ", only " + strings.Join(names, ", ")
		}
		e := fault.New(fault.InputInvalid, "%s", message)
		e.Fields = []fault.Field{{Path: path[0], Description: "is not allowed by decorator " + sc.decorator}}
		return e
	}
	return nil
}

func place(object map[string]any, path []string, value any) error {
	for i, key := range path[:len(path)-1] {
		switch inner := object[key].(type) {
		case nil:
			next := map[string]any{}
			object[key], object = next, next
		case map[string]any:
			object = inner
		default:
			return fault.New(fault.Usage, "--set %s: %s already has a value that is not an object", strings.Join(path, "."), strings.Join(path[:i+1], "."))
		}
	}
	object[path[len(path)-1]] = value
	return nil
}
