package project

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/yamlfile"
)

// What get prints of a decorator is what apply reads.
func TestADecoratorIsWrittenAsItIsRead(t *testing.T) {
	const text = `kind: Decorator
name: one
description: "yes"
tags: ["1", x]
input_schema: {type: object, required: [name], properties: {n: {type: integer, maximum: 5, multipleOf: 0.5, default: 12345678901}}}
limits: {memory: 64MiB, timeout: 1m30s, input: 1MiB, output: 1000, logs: 1B, cpu: 1s, concurrency: 3}
policy: {idempotent: true}
`
	read := func(data []byte) *ruedov1.Decorator {
		t.Helper()
		docs, err := yamlfile.All("file", data)
		if err != nil || len(docs) != 1 {
			t.Fatalf("%v, %v\n%s", docs, err, data)
		}
		d, err := ReadDecorator(docs[0])
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		return d
	}
	want := read([]byte(text))
	written, err := yaml.Marshal(DecoratorDocument(want))
	if err != nil {
		t.Fatal(err)
	}
	if got := read(written); !proto.Equal(got, want) {
		t.Errorf("got %v\nwant %v\nfrom %s", got, want, written)
	}
}

func TestAPlacementIsWrittenAsItIsRead(t *testing.T) {
	for _, placement := range []string{"", "gpu", "!gpu", "zone=eu-1,rack in (7,8),!gpu", "true", "7", "null", "zone="} {
		written, err := yaml.Marshal(ServiceDocument(&ruedov1.Service{Name: "a", Revision: &ruedov1.Revision{Placement: placement}}))
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Placement Placement `yaml:"placement"`
		}
		if err := yaml.Unmarshal(written, &read); err != nil || string(read.Placement) != placement {
			t.Errorf("%q became %q, %v\n%s", placement, read.Placement, err, written)
		}
	}
}

// Whatever an example is, the document has the same bytes.
func TestAnExampleIsWrittenAsItIsRead(t *testing.T) {
	for _, example := range []string{
		`{"age":36,"name":"Ada","n":[1.5,true,null]}`, `{"b":1,"a":2}`, `{ "a": 1 }`, `"text"`, "null", "36", "1e400", "text", "two\nlines\n", " space ", "@file", "\xff\x00", "12345678901234567890",
		`{"t":"<b>"}`, `{"a":{"b":[]}}`,
	} {
		written, err := yaml.Marshal(ServiceDocument(&ruedov1.Service{Name: "a", Revision: &ruedov1.Revision{Example: []byte(example)}}))
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Example any `yaml:"example"`
		}
		if err := yaml.Unmarshal(written, &read); err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("of the directory"), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := (&Service{Dir: dir, Example: read.Example}).ExampleBytes()
		if err != nil || string(got) != example {
			t.Errorf("%q became %q, %v\n%s", example, got, err, written)
		}
	}
}
