package input

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

var (
	integerPattern = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	numberPattern  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

// typed returns the JSON value that text stands for. If several decorators know
// the field, only the types that all of them accept remain.
func typed(key, text string, hasValue bool, schemas []schema) (any, error) {
	var types []string
	for _, s := range schemas {
		t := s.types()
		switch {
		case len(t) == 0:
		case len(types) == 0:
			types = t
		default:
			types = common(types, t)
		}
	}
	if !hasValue {
		if len(types) == 0 || slices.Contains(types, "boolean") {
			return true, nil
		}
		return nil, expected(key, types, "but there is no value")
	}
	if len(types) == 0 {
		return guess(text), nil
	}
	// Narrow types first: everything is a string.
	// White space around them does not matter: a file ends with a newline.
	for _, t := range []string{"null", "boolean", "integer", "number", "array", "object", "string"} {
		if !slices.Contains(types, t) {
			continue
		}
		if t == "string" {
			return text, nil
		}
		if v, ok := as(t, strings.TrimSpace(text)); ok {
			return v, nil
		}
	}
	return nil, expected(key, types, "not "+quote(text))
}

// common returns the types that are in both lists. An integer is a number.
func common(a, b []string) []string {
	var list []string
	for _, name := range a {
		switch {
		case slices.Contains(b, name), name == "integer" && slices.Contains(b, "number"):
			list = append(list, name)
		case name == "number" && slices.Contains(b, "integer"):
			list = append(list, "integer")
		}
	}
	return list
}

// as reads text as a JSON type other than string.
func as(t, text string) (any, bool) {
	switch t {
	case "null":
		return nil, text == "null"
	case "boolean":
		switch strings.ToLower(text) {
		case "true", "yes", "on", "1":
			return true, true
		case "false", "no", "off", "0":
			return false, true
		}
		return nil, false
	case "integer":
		return json.Number(text), integerPattern.MatchString(text)
	case "number":
		return json.Number(text), numberPattern.MatchString(text)
	case "array":
		v, ok := parse(text)
		_, is := v.([]any)
		return v, ok && is
	case "object":
		v, ok := parse(text)
		_, is := v.(map[string]any)
		return v, ok && is
	}
	return nil, false
}

// guess keeps JSON literals and takes the rest as text.
func guess(text string) any {
	if v, ok := parse(text); ok {
		if _, isText := v.(string); !isText {
			return v
		}
	}
	return text
}

func parse(text string) (any, bool) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		return nil, false
	}
	return v, true
}

func expected(key string, types []string, found string) error {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = article(t)
	}
	what := strings.Join(names, " or ")
	e := fault.New(fault.InputInvalid, "--set %s: %s is expected, %s", key, what, found)
	e.Fields = []fault.Field{{Path: key, Description: what + " is expected, " + found}}
	switch {
	case slices.Contains(types, "array"):
		e.Fix = "--set '" + key + `=["a","b"]'`
	case slices.Contains(types, "object"):
		e.Fix = "--set '" + key + `={"a":1}', or --set ` + key + ".a=1"
	}
	return e
}

func article(t string) string {
	switch t {
	case "integer", "array", "object":
		return "an " + t
	case "null":
		return t
	}
	return "a " + t
}

// quote shows a value, cut short: it may be long, and it may be secret.
func quote(text string) string {
	if len(text) > 32 {
		text = strings.ToValidUTF8(text[:32], "") + "..."
	}
	return `"` + text + `"`
}
