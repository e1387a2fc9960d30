// Package examples_test checks that the examples do what they show. The code
// that reads their directories is the code that the CLI uses.
package examples_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

func names() []string { return []string{"greet", "netaudit", "spin", "thumbnail", "wordcount"} }

// rules returns the combined decorators of an example.
func rules(t *testing.T, name string) (*project.Service, *decorate.Rules) {
	t.Helper()
	s, err := project.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	all, err := project.Decorators(name)
	if err != nil {
		t.Fatal(err)
	}
	var attached []*decorate.Decorator
	for _, want := range s.Decorators {
		found := false
		for _, d := range all {
			if d.Name != want {
				continue
			}
			compiled, err := decorate.NewCompiler().Admit(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			attached, found = append(attached, compiled), true
		}
		if !found {
			t.Errorf("%s names the decorator %s, which its decorators.yaml does not have", name, want)
		}
	}
	if len(all) != len(attached) {
		t.Errorf("%s has %d decorators and names %d", name, len(all), len(attached))
	}
	return s, decorate.Combine(attached)
}

func TestEveryDirectoryIsAnExample(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, e.Name())
		}
	}
	if !slices.Equal(dirs, names()) {
		t.Errorf("dirs %v, tested are %v", dirs, names())
	}
	for _, name := range dirs {
		for _, file := range []string{"README.md", "main.go", "main_test.go", "ruedo.yaml"} {
			if _, err := os.Stat(filepath.Join(name, file)); err != nil {
				t.Error(err)
			}
		}
		s, rules := rules(t, name)
		if s.Name != name || s.Description == "" || len(s.Tags) == 0 || s.Kind == "" {
			t.Errorf("%s: name %q, description %q, tags %v, kind %q", name, s.Name, s.Description, s.Tags, s.Kind)
		}
		if s.Example == nil {
			continue
		}
		example, err := s.ExampleBytes()
		if err != nil {
			t.Fatal(err)
		}
		if err := rules.Check(t.Context(), name, example); err != nil {
			t.Errorf("%s refuses its own example %s: %v", name, example, err)
		}
	}
}

func TestSchemasRefuse(t *testing.T) {
	for _, c := range []struct {
		name, input string
		want        string // the field that the error names; empty means that the input is accepted
	}{
		{"greet", `{"name":"Ada"}`, ""},
		{"greet", `{}`, "name"},
		{"greet", `{"name":""}`, "name"},
		{"greet", `{"name":"` + strings.Repeat("x", 65) + `"}`, "name"},
		{"greet", `{"name":"Ada","age":200}`, "age"},
		{"greet", `{"name":"Ada","age":1.5}`, "age"},
		{"greet", `{"name":"Ada","language":"tlh"}`, "language"},
		{"greet", `{"name":"Ada","nick":"x"}`, "nick"},
		{"netaudit", `{"config":"x","severity":"urgent"}`, "severity"},
		{"netaudit", `{"config":"x","rules":["no-ntp"],"severity":"low"}`, ""},
		{"netaudit", `{"config":"x","rules":["telnet"]}`, "rules[0]"},
		{"netaudit", `{"config":""}`, "config"},
		{"spin", `{"loop":true}`, ""},
		{"spin", `{"loop":"yes"}`, "loop"},
		{"spin", `{"exit":256}`, "exit"},
		{"wordcount", `anything`, ""},
		{"thumbnail", "\x89PNG", ""},
	} {
		_, rules := rules(t, c.name)
		err := rules.Check(t.Context(), c.name, []byte(c.input))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s refuses %.60s: %v", c.name, c.input, err)
			}
			continue
		}
		refusal, ok := errors.AsType[*fault.Error](err)
		if !ok || refusal.Reason != fault.InputInvalid || len(refusal.Fields) != 1 || refusal.Fields[0].Path != c.want {
			t.Errorf("%s, %.60s: got %#v, want a refusal that names %s", c.name, c.input, err, c.want)
		}
	}
}
