package input

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Line describes one accepted field.
type Line struct {
	// Field is its path, for example "address.city" or "lines[].sku".
	Field string
	// Type is its JSON type or the allowed values.
	Type string
	// Required reports whether what it is a field of must have it.
	Required bool
	// Text is description, bounds and default.
	Text string
	// Decorator is the name of the decorator whose schema has it; empty if only the
	// types of the service do.
	Decorator string

	// first is true if the input must have the outermost field of the path.
	first bool
	// about is the beginning of Text: the description.
	about string
}

// Lines lists the fields that a service accepts, required ones first. The fields
// of an object follow it.
func (s *Schemas) Lines() []Line {
	var lines []Line
	for _, sc := range s.list {
		lines = append(lines, sc.lines("", 3, nil)...)
	}
	lines = merge(lines)
	slices.SortStableFunc(lines, func(a, b Line) int {
		switch {
		case a.first && !b.first:
			return -1
		case b.first && !a.first:
			return 1
		}
		return 0
	})
	return lines
}

// merge drops the lines of the types about fields that decorators have, too. Those
// keep what only the types say.
func merge(lines []Line) []Line {
	types := map[string]Line{}
	for _, l := range lines {
		if l.Decorator == "" {
			types[l.Field] = l
		}
	}
	var kept []Line
	for _, l := range lines {
		t, ok := types[l.Field]
		switch {
		case l.Decorator == "":
			if slices.ContainsFunc(lines, func(o Line) bool { return o.Field == l.Field && o.Decorator != "" }) {
				continue
			}
		case ok:
			if l.Type == "any" {
				l.Type = t.Type
			}
			l.Required, l.first = l.Required || t.Required, l.first || t.first
			if t.about != "" && l.about == "" {
				l.Text = strings.TrimSpace(t.about + " " + l.Text)
			} else if l.Text == "" {
				l.Text = t.Text
			}
		}
		kept = append(kept, l)
	}
	return kept
}

// Candidates returns what a pair of [Schemas.Build] can be: "FIELD=" for each
// field and, if pair has a field already, each of its values that the schemas
// list.
func (s *Schemas) Candidates(pair string) []string {
	var list []string
	key, _, hasValue := strings.Cut(pair, "=")
	if !hasValue {
		for _, l := range s.Lines() {
			list = append(list, strings.ReplaceAll(l.Field, "[]", ".0")+"=")
		}
		return list
	}
	_, found := s.path(key)
	for _, sc := range found {
		values := sc.enum()
		if len(values) == 0 && slices.Contains(sc.types(), "boolean") {
			values = []any{true, false}
		}
		for _, v := range values {
			list = append(list, key+"="+literal(v))
		}
	}
	return list
}

func (s schema) lines(prefix string, depth int, outer *Line) []Line {
	properties, required := s.properties(), s.required()
	var lines []Line
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p := properties[name]
		line := Line{
			Field:     prefix + name,
			Type:      p.describeType(),
			Required:  slices.Contains(required, name),
			Text:      p.describe(),
			Decorator: s.decorator,
			about:     p.about(),
		}
		line.first = line.Required
		if outer != nil {
			line.first = outer.first
		}
		lines = append(lines, line)
		if depth > 1 {
			lines = append(lines, p.lines(line.Field+".", depth-1, &line)...)
			if items, ok := p.child("items"); ok {
				lines = append(lines, items.lines(line.Field+"[].", depth-1, &line)...)
			}
		}
	}
	return lines
}

// describeType returns "integer", "string or null" or "en|es|de", for example.
func (s schema) describeType() string {
	if enum := s.enum(); len(enum) > 0 {
		values := make([]string, len(enum))
		for i, v := range enum {
			values[i] = literal(v)
		}
		if text := strings.Join(values, "|"); len(text) <= 60 {
			return text
		}
	}
	types := s.types()
	if len(types) == 0 {
		return "any"
	}
	if types[0] == "array" {
		if items, ok := s.deref().node["items"].(map[string]any); ok {
			return "array of " + s.next(items).describeType()
		}
	}
	return strings.Join(types, " or ")
}

// about returns the description of a field as a sentence.
func (s schema) about() string {
	text := cmp.Or(s.note, s.deref().text("description"), s.deref().text("title"))
	if text == "" {
		return ""
	}
	return strings.TrimSuffix(text, ".") + "."
}

// describe returns what else a schema says about a field.
func (s schema) describe() string {
	s = s.deref()
	var parts []string
	if about := s.about(); about != "" {
		parts = append(parts, about)
	}
	var bounds []string
	for _, b := range []struct{ low, high, unit string }{
		{"minimum", "maximum", ""}, {"minLength", "maxLength", " characters"}, {"minItems", "maxItems", " items"},
	} {
		low, hasLow := s.node[b.low]
		high, hasHigh := s.node[b.high]
		switch {
		case hasLow && hasHigh:
			bounds = append(bounds, fmt.Sprintf("%s to %s%s", literal(low), literal(high), b.unit))
		case hasLow:
			bounds = append(bounds, fmt.Sprintf("at least %s%s", literal(low), b.unit))
		case hasHigh:
			bounds = append(bounds, fmt.Sprintf("at most %s%s", literal(high), b.unit))
		}
	}
	if p := s.text("pattern"); p != "" {
		bounds = append(bounds, "matches "+p)
	}
	if f := s.text("format"); f != "" {
		bounds = append(bounds, f)
	}
	if d, ok := s.node["default"]; ok {
		bounds = append(bounds, "default "+literal(d))
	}
	if len(bounds) > 0 {
		parts = append(parts, "("+strings.Join(bounds, ", ")+")")
	}
	return strings.Join(parts, " ")
}

func literal(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
