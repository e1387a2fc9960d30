package delta_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/cli/delta"
)

func Example() {
	was := map[string]any{
		"limits":       map[string]any{"memory": "32 MiB", "timeout": "1s"},
		"input_schema": map[string]any{"type": "object"},
		"tags":         []any{"a"},
	}
	next := map[string]any{"limits": map[string]any{"memory": "1 MiB", "timeout": "1s", "cpu": "1s"}, "tags": []any{"a", "b"}, "description": ""}
	for _, c := range delta.Of(was, next) {
		fmt.Println(c)
	}
	// Output:
	// - input_schema: {"type":"object"}
	// + limits.cpu: 1s
	// ~ limits.memory: 32 MiB -> 1 MiB
	// ~ tags: ["a"] -> ["a","b"]
}

func TestOf(t *testing.T) {
	long := strings.Repeat("é", 200)
	for name, tt := range map[string]struct {
		was, next map[string]any
		want      []string
	}{
		"nothing":        {nil, nil, nil},
		"empty is none":  {map[string]any{"a": "", "b": map[string]any{}}, map[string]any{"c": []any{}}, nil},
		"new":            {nil, map[string]any{"a": true, "b": map[string]any{"c": 1.5}}, []string{"+ a: true", `+ b: {"c":1.5}`}},
		"other type":     {map[string]any{"a": "x"}, map[string]any{"a": map[string]any{"b": "<y>"}}, []string{`~ a: x -> {"b":"<y>"}`}},
		"lines":          {map[string]any{"a": "x\ny"}, nil, []string{`- a: "x\ny"`}},
		"of strangers":   {nil, map[string]any{"a\x1b": "\x1b[2J"}, []string{`+ a\x1b: \x1b[2J`}},
		"long":           {map[string]any{"a": long + "1"}, map[string]any{"a": long + "2"}, []string{"~ a: " + long[:160] + "... -> " + long[:160] + "... (different)"}},
		"nested removal": {map[string]any{"a": map[string]any{"b": 1.0, "c": 2.0}}, map[string]any{"a": map[string]any{"c": 2.0}}, []string{"- a.b: 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range delta.Of(tt.was, tt.next) {
				got = append(got, c.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
