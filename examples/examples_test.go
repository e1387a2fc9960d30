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

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/derive"
	"github.com/ruedo-dev/ruedo/internal/cli/input"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

func names() []string {
	return []string{"chat", "feed", "greet", "netaudit", "netcheck", "proxy", "spin", "thumbnail", "todo", "wordcount"}
}

// kind returns the kind of an example, as the API has it.
func kind(s *project.Service) ruedov1.Kind {
	return ruedov1.Kind(ruedov1.Kind_value["KIND_"+strings.ToUpper(s.Kind)])
}

// types returns the schemas that `ruedo publish` makes of the types of an example.
func types(t *testing.T, s *project.Service, decorators []*ruedov1.Decorator) (in, out *structpb.Struct) {
	t.Helper()
	tools, err := s.Toolchain(t.Context(), os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	if tools.Kind != project.KindFunction {
		return nil, nil
	}
	schemas, err := derive.Types(t.Context(), derive.Program{Dir: s.Dir, Tool: tools.Tool, Flags: tools.Flags, Env: tools.Env})
	if err != nil {
		t.Fatal(err)
	}
	in, contradictions := input.Reconcile(schemas.Input, decorators)
	if len(contradictions) > 0 {
		t.Error(contradictions)
	}
	return in, schemas.Output
}

// rules returns the decorators and the types of an example, combined.
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
	in, _ := types(t, s, all)
	if own := decorate.NewCompiler().Types(&ruedov1.Revision{Service: name, InputSchema: in}); own != nil {
		attached = append(attached, own)
	}
	return s, decorate.Combine(kind(s), attached)
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
		if kind(s) == ruedov1.Kind_KIND_HTTP {
			if examples, err := s.HTTPExamples(); err != nil || len(examples) == 0 {
				t.Errorf("%s has %d requests that warm it up, %v", name, len(examples), err)
			}
			continue
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
	made := map[string]*decorate.Rules{}
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
		if made[c.name] == nil {
			_, made[c.name] = rules(t, c.name)
		}
		err := made[c.name].Check(t.Context(), c.name, []byte(c.input))
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
