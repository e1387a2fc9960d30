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
	"unicode/utf8"

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
	decorator string // empty: the types of the service have it
	note      string // the description next to a reference to it
}

// New reads the schemas that the API returns.
func New(list []*ruedov1.InputSchema) *Schemas {
	s := &Schemas{}
	for _, in := range list {
		if in.GetSchema() == nil {
			continue
		}
		root := in.GetSchema().AsMap()
		s.list = append(s.list, schema{root: root, node: root, decorator: in.GetDecorator()})
	}
	return s
}

// Empty reports whether any input is accepted.
func (s *Schemas) Empty() bool { return len(s.list) == 0 }

// Build lays pairs over base, a JSON object or nothing, and returns the JSON.
// Pairs are "name=Ada", "address.city=Turin", "lines.0.sku=A", "polite" and
// "text=@FILE", which read reads; "@@" stands for an @ that begins a value.
func (s *Schemas) Build(base []byte, pairs []string, read func(name string) ([]byte, error)) ([]byte, error) {
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
		if text, err := content(key, text, read); err != nil {
			return nil, err
		} else if value, err := typed(key, text, hasValue, found); err != nil {
			return nil, err
		} else if _, err := s.place(object, path, 0, value); err != nil {
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
	for _, sc := range s.list {
		if f, ok := sc.properties()[key]; ok {
			found = append(found, f)
		}
	}
	if len(found) > 0 {
		return []string{key}, found
	}
	path = strings.Split(key, ".")
	return path, s.at(path)
}

// at returns the schemas of a field, one for each decorator that knows it.
func (s *Schemas) at(path []string) (found []schema) {
	for _, sc := range s.list {
		if f, ok := sc.at(path); ok {
			found = append(found, f)
		}
	}
	return found
}

// content returns the value that text stands for: the content of FILE for @FILE.
func content(key, text string, read func(string) ([]byte, error)) (string, error) {
	name, isFile := strings.CutPrefix(text, "@")
	if !isFile || strings.HasPrefix(name, "@") {
		return name, nil
	}
	data, err := read(name)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(data) {
		return "", fault.New(fault.Usage, "--set %s: %s is not text", key, name).WithFix("encode it, for example with base64")
	}
	return string(data), nil
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
		e.Fields = []fault.Field{{Path: path[0], Description: "is not allowed by " + sc.origin()}}
		return e
	}
	return nil
}

// place puts value where path[i:] leads from current and returns what is then at
// path[:i]: current, or a new object or array if there was nothing.
func (s *Schemas) place(current any, path []string, i int, value any) (any, error) {
	if i == len(path) {
		return value, nil
	}
	if current == nil {
		current = map[string]any{}
		if s.isArray(path[:i], path[i]) {
			current = []any{}
		}
	}
	var err error
	switch c := current.(type) {
	case map[string]any:
		c[path[i]], err = s.place(c[path[i]], path, i+1, value)
		return c, err
	case []any:
		n, ok := index(path[i])
		if !ok || n > len(c) {
			return nil, fault.New(fault.Usage, "--set %s: %s is an array of %d elements", strings.Join(path, "."), strings.Join(path[:i], "."), len(c)).
				WithFix("use a number from 0 to %d in place of %s", len(c), path[i])
		}
		if n == len(c) {
			c = append(c, nil)
		}
		c[n], err = s.place(c[n], path, i+1, value)
		return c, err
	}
	return nil, fault.New(fault.Usage, "--set %s: %s already has a value that is not an object", strings.Join(path, "."), strings.Join(path[:i], "."))
}

// isArray reports whether the field at path, which the input does not have yet,
// is an array whose element key is set. The schemas decide; if they do not know
// the field, a number is an index.
func (s *Schemas) isArray(path []string, key string) bool {
	if _, ok := index(key); !ok || len(path) == 0 {
		return false
	}
	for _, sc := range s.at(path) {
		if types := sc.types(); len(types) > 0 {
			return slices.Contains(types, "array")
		}
	}
	return true
}
