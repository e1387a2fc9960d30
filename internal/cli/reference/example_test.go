package reference

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/goccy/go-yaml"

	"github.com/ruedo-dev/ruedo/internal/cli/cases"
	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/resource"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
)

// keysOf returns the keys that a page describes in its tables.
func keysOf(t *testing.T, name string) map[string]bool {
	t.Helper()
	topic, ok := Lookup(topics(), name)
	if !ok {
		t.Fatalf("there is no topic %s", name)
	}
	p, err := topic.Page()
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, part := range p.Parts {
		if table, ok := part.(page.Table); ok {
			for _, row := range table.Rows {
				keys[row[0]] = true
			}
		}
	}
	return keys
}

// uses returns an error for each key that no example has, and reverse.
func uses(t *testing.T, what string, documents []map[string]any, keys map[string]bool, within ...string) {
	t.Helper()
	found := map[string]bool{}
	for _, d := range documents {
		for k, v := range d {
			found[k] = true
			for _, w := range within {
				if m, ok := v.(map[string]any); ok && k == w {
					for k := range m {
						found[k] = true
					}
				}
			}
		}
	}
	for k := range keys {
		if !found[k] {
			t.Errorf("the example of %s lacks %s", what, k)
		}
	}
	for k := range found {
		if !keys[k] {
			t.Errorf("the example of %s has %s, which the page does not describe", what, k)
		}
	}
}

// plain reads documents without a struct.
func plain(t *testing.T, text string) (list []map[string]any) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

func TestTheExampleOfTheServiceFile(t *testing.T) {
	var s project.Service
	if err := yamlfile.One(project.ServiceFile, []byte(project.ServiceExample), &s); err != nil {
		t.Fatal(err)
	}
	if _, err := project.ParseIsolation(s.Isolation); err != nil {
		t.Error(err)
	}
	if err := yamlfile.One(project.ServiceFile, []byte(project.RequestExample), &s); err != nil {
		t.Fatal(err)
	}
	if requests, err := s.HTTPExamples(); err != nil || len(requests) != 2 {
		t.Errorf("%v, %v", requests, err)
	}
	served := plain(t, project.RequestExample)[0]
	documents := append(plain(t, project.ServiceExample), served)
	for _, key := range []string{"example", "routes"} {
		for _, one := range served[key].([]any) {
			documents = append(documents, one.(map[string]any))
		}
	}
	uses(t, "the service file", documents, keysOf(t, "service-file"))
}

func TestTheExampleOfTheDecoratorFile(t *testing.T) {
	docs, err := yamlfile.All(project.DecoratorsFile, []byte(project.DecoratorExample))
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		d, err := project.ReadDecorator(doc)
		if err != nil {
			t.Fatal(err)
		}
		if err := protovalidate.Validate(d); err != nil {
			t.Error(err)
		}
	}
	uses(t, "the decorator file", plain(t, project.DecoratorExample), keysOf(t, "decorator-file"), "limits", "policy", "grants")
}

func TestTheExampleOfTheCasesFile(t *testing.T) {
	list, err := cases.Read(write(t, "cases.yaml", cases.Example))
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	var calls []map[string]any
	for _, call := range plain(t, cases.Example)[0]["calls"].([]any) {
		calls = append(calls, call.(map[string]any))
	}
	uses(t, "the cases file", calls, keysOf(t, "cases-file"))
}

func TestTheExamplesOfDocuments(t *testing.T) {
	known := 0
	for _, n := range resource.All() {
		if n.Apply == nil {
			continue
		}
		known++
		docs, err := yamlfile.All("example.yaml", []byte(n.Apply.Example))
		if err != nil || len(docs) == 0 {
			t.Fatalf("%s: %d documents, %v", n.Apply.Kind, len(docs), err)
		}
		for _, doc := range docs {
			if doc.Field("kind") != n.Apply.Kind {
				t.Errorf("an example of %s has the kind %s", n.Apply.Kind, doc.Field("kind"))
			}
			if err := doc.Decode(reflect.New(reflect.TypeOf(n.Apply.Document)).Interface()); err != nil {
				t.Errorf("%s: %v", n.Apply.Kind, err)
			}
		}
		if _, ok := becomes[n.Apply.Kind]; !ok {
			t.Errorf("say in becomes which message a document of kind %s becomes", n.Apply.Kind)
		}
	}
	if known < 2 {
		t.Errorf("found only %d kinds", known)
	}
}

// The values that a page lists are those that the program accepts.
func TestListedValues(t *testing.T) {
	for _, tt := range []struct {
		of     any
		field  string
		accept func(string) error
	}{
		{project.Service{}, "Kind", func(word string) error {
			return load(t, "name: x\nkind: "+word+"\n")
		}},
		{project.Service{}, "Isolation", func(word string) error {
			_, err := project.ParseIsolation(word)
			return err
		}},
		{project.Decorator{}, "Kind", func(word string) error {
			docs, err := yamlfile.All("x", []byte("kind: "+word+"\nname: x\n"))
			if err != nil || word != project.KindDecorator {
				return errNotAccepted
			}
			_, err = project.ReadDecorator(docs[0])
			return err
		}},
	} {
		f, ok := reflect.TypeOf(tt.of).FieldByName(tt.field)
		words := strings.Split(f.Tag.Get("enum"), ",")
		if !ok || words[0] == "" {
			t.Fatalf("%T has no words for %s", tt.of, tt.field)
		}
		for _, word := range words {
			if err := tt.accept(word); err != nil {
				t.Errorf("%s of %T: %v", tt.field, tt.of, err)
			}
		}
		if tt.accept("nothing-of-that") == nil {
			t.Errorf("%s of %T accepts anything", tt.field, tt.of)
		}
	}
}

func TestTheExampleOfSettings(t *testing.T) {
	if _, err := settings.Resolve(settings.Input{ConfigFile: write(t, "config.yaml", settingsExample)}); err != nil {
		t.Fatal(err)
	}
	keys := keysOf(t, "settings")
	for _, e := range settings.Table() {
		if !keys[e.Key] {
			t.Errorf("the page lacks %s", e.Name)
		}
	}
}

// errNotAccepted is returned for a word that means something else.
var errNotAccepted = errors.New("not accepted")

func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// load loads a directory with a service file.
func load(t *testing.T, content string) error {
	t.Helper()
	_, err := project.Load(filepath.Dir(write(t, project.ServiceFile, content)))
	return err
}
