package input

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// deref follows local references. It leaves a reference that it cannot resolve,
// for example to another document.
func (s schema) deref() schema {
	for range 16 { // a cycle ends here
		ref, ok := s.node["$ref"].(string)
		if !ok {
			return s
		}
		target, ok := s.resolve(ref)
		if !ok {
			return s
		}
		s.node = target
	}
	return s
}

// next returns the schema of a part, with the description that stands next to the
// reference to it.
func (s schema) next(node map[string]any) schema {
	part := schema{root: s.root, node: node, decorator: s.decorator}
	text := part.text("description")
	part = part.deref()
	if text != "" {
		part.note = text
	}
	return part
}

// origin names who has the schema.
func (s schema) origin() string {
	if s.decorator == "" {
		return "the types of the service"
	}
	return "decorator " + s.decorator
}

func (s schema) resolve(ref string) (map[string]any, bool) {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil, false
	}
	node := s.root
	if pointer == "" {
		return node, true
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for _, part := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		next, ok := node[unescape.Replace(part)].(map[string]any)
		if !ok {
			return nil, false
		}
		node = next
	}
	return node, true
}

// properties returns the fields of an object schema, those of allOf included.
func (s schema) properties() map[string]schema {
	all := map[string]schema{}
	s.collect(all, map[uintptr]bool{})
	return all
}

// collect visits each part of an allOf once, whatever it refers to.
func (s schema) collect(all map[string]schema, seen map[uintptr]bool) {
	s = s.deref()
	id := reflect.ValueOf(s.node).Pointer()
	if seen[id] {
		return
	}
	seen[id] = true
	parts, _ := s.node["allOf"].([]any)
	for _, p := range parts {
		if node, ok := p.(map[string]any); ok {
			schema{root: s.root, node: node, decorator: s.decorator}.collect(all, seen)
		}
	}
	properties, _ := s.node["properties"].(map[string]any)
	for name, p := range properties {
		node, _ := p.(map[string]any) // true accepts anything
		all[name] = s.next(node)
	}
}

// at returns the schema of a field inside.
func (s schema) at(path []string) (schema, bool) {
	for _, name := range path {
		next, ok := s.properties()[name]
		if !ok {
			next, ok = s.element(name)
		}
		if !ok {
			next, ok = s.child("additionalProperties")
		}
		if !ok {
			return schema{}, false
		}
		s = next
	}
	return s, true
}

// element returns the schema of an element of an array.
func (s schema) element(name string) (schema, bool) {
	n, ok := index(name)
	if !ok {
		return schema{}, false
	}
	first, _ := s.deref().node["prefixItems"].([]any)
	if n >= len(first) {
		return s.child("items")
	}
	node, ok := first[n].(map[string]any)
	return s.next(node), ok
}

// child returns the schema that is the value of a keyword.
func (s schema) child(keyword string) (schema, bool) {
	node, ok := s.deref().node[keyword].(map[string]any)
	return s.next(node), ok
}

// index reads the index of an element of an array.
func index(name string) (n int, ok bool) {
	n, err := strconv.Atoi(name)
	return n, err == nil && strconv.Itoa(n) == name && n >= 0
}

// types lists the JSON types that a field may have; empty means any.
func (s schema) types() []string {
	switch t := s.deref().node["type"].(type) {
	case string:
		return []string{t}
	case []any:
		var list []string
		for _, item := range t {
			if name, ok := item.(string); ok {
				list = append(list, name)
			}
		}
		return list
	}
	// Without a type, the allowed values determine it.
	var list []string
	for _, v := range s.enum() {
		if t := typeOf(v); !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}

// enum lists the allowed values.
func (s schema) enum() []any {
	node := s.deref().node
	if c, ok := node["const"]; ok {
		return []any{c}
	}
	list, _ := node["enum"].([]any)
	return list
}

func (s schema) required() []string {
	s = s.deref()
	var list []string
	items, _ := s.node["required"].([]any)
	for _, item := range items {
		if name, ok := item.(string); ok {
			list = append(list, name)
		}
	}
	return list
}

func (s schema) text(key string) string {
	t, _ := s.node[key].(string)
	return t
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case json.Number:
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
