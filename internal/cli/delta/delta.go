// Package delta says in which fields two documents differ.
//
//	for _, c := range delta.Of(stored, applied) {
//		fmt.Println(c) // ~ limits.memory: 32MiB -> 48MiB
//	}
//
// A document is what JSON can say: maps, lists, texts, numbers, true and false.
package delta

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
)

// maxText is how many bytes of a value a line shows.
const maxText = 160

// Change is one field that differs.
type Change struct {
	// Path names the field: "limits.memory".
	Path string `json:"path"`
	// From and To are the values; nil means that the field is not there.
	From any `json:"from"`
	To   any `json:"to"`
}

// Of returns how next differs from was, in the order of the paths. Fields of
// maps that both have are compared one by one. Lists and other values are
// compared as a whole. A field with an empty value is the same as none.
func Of(was, next map[string]any) []Change { return compare("", was, next) }

func compare(prefix string, was, next map[string]any) []Change {
	names := maps.Clone(was)
	if names == nil {
		names = map[string]any{}
	}
	maps.Copy(names, next)
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, b := was[name], next[name]
		am, aIsMap := a.(map[string]any)
		bm, bIsMap := b.(map[string]any)
		switch {
		case empty(a) && empty(b) || reflect.DeepEqual(a, b):
		case aIsMap && bIsMap && !empty(a) && !empty(b):
			changes = append(changes, compare(prefix+name+".", am, bm)...)
		default:
			c := Change{Path: prefix + name}
			if !empty(a) {
				c.From = a
			}
			if !empty(b) {
				c.To = b
			}
			changes = append(changes, c)
		}
	}
	return changes
}

// empty reports whether a value says nothing.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// String returns the change as a line: "+ path: value" for a new field, "- path:
// value" for one that is removed, "~ path: old -> new" otherwise.
func (c Change) String() string {
	path := output.Safe(c.Path)
	switch {
	case c.From == nil:
		return "+ " + path + ": " + text(c.To)
	case c.To == nil:
		return "- " + path + ": " + text(c.From)
	}
	from, to := text(c.From), text(c.To)
	if from == to { // they differ after what is shown
		to += " (different)"
	}
	return "~ " + path + ": " + from + " -> " + to
}

// text returns a value on one line: a text of one line as it is, everything
// else as JSON.
func text(v any) string {
	s, ok := v.(string)
	if !ok || strings.ContainsAny(s, "\n\r\t") {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if enc.Encode(v) == nil {
			s = strings.TrimSpace(b.String())
		}
	}
	if len(s) > maxText {
		s = s[:maxText]
		for !utf8.ValidString(s) && len(s) > maxText-utf8.UTFMax {
			s = s[:len(s)-1]
		}
		s += "..."
	}
	return output.Safe(s)
}
