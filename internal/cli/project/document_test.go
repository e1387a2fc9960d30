package project

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
policy: {idempotent: true, pass_authorization: true}
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
		`{"age":36,"name":"Ada","n":[1.5,true,null]}`, `{"b":1,"a":2}`, `{ "a": 1 }`, `"text"`, "null", "36", "1e400", "text", "two\nlines\n", " space ", "@file", "\xff\x00", "12345678901234567890", "\x00\x05\n\x03Ada", "a\rb",
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

// Whatever requests are, the document has the same.
func TestRequestsAreWrittenAsTheyAreRead(t *testing.T) {
	json := map[string]string{"content-type": "application/json"}
	for _, examples := range [][]*ruedov1.HttpExample{
		nil,
		{{Path: "/"}},
		{{Method: "GET", Path: "/items?limit=5", Headers: map[string]string{"accept": "text/csv", "x-count": "0644"}}},
		{{Path: "/"}, {Method: "POST", Path: "/greet", Headers: json, Body: []byte(`{"name":"Ada"}`)}, {Method: "PUT", Path: "/list", Headers: json, Body: []byte(`[1,2]`)}},
		{{Path: "/a", Headers: map[string]string{"content-type": "application/connect+json"}, Body: []byte(`{"b":1}`)}},
		{{Path: "/a", Headers: json, Body: []byte(`{ "b": 1 }`)}},
		{{Path: "/a", Headers: json, Body: []byte(`"text"`)}},
		{{Path: "/a", Body: []byte(`{"b":1}`)}},
		{{Path: "/a", Body: []byte("@file")}},
		{{Path: "/a", Body: []byte("\xff\x00")}},
		{{Path: "/a", Body: []byte("\x00\x00\x00\x00\x05\n\x03Ada")}},
		{{Path: "/a", Body: []byte("two\nlines\n")}},
	} {
		written, err := yaml.Marshal(ServiceDocument(&ruedov1.Service{Name: "a", Revision: &ruedov1.Revision{HttpExamples: examples}}))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(written, 0) {
			t.Errorf("the document has a character that YAML does not allow: %q", written)
		}
		var read struct {
			Example any `yaml:"example"`
		}
		if err := yaml.Unmarshal(written, &read); err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		got, err := (&Service{Dir: t.TempDir(), Example: read.Example}).HTTPExamples()
		if err != nil || !slices.EqualFunc(got, examples, func(a, b *ruedov1.HttpExample) bool { return proto.Equal(a, b) }) {
			t.Errorf("%v became %v, %v\n%s", examples, got, err, written)
		}
	}
}

func TestRequestsAsAuthorsWriteThem(t *testing.T) {
	dir := directory(t, map[string]string{"body.json": `{"name":"Ada"}`, "requests.yaml": "- path: /a\n- path: /b\n"})
	read := func(text string) ([]*ruedov1.HttpExample, error) {
		var doc struct {
			Example any `yaml:"example"`
		}
		if err := yaml.Unmarshal([]byte("example: "+text), &doc); err != nil {
			t.Fatal(err)
		}
		return (&Service{Dir: dir, Example: doc.Example}).HTTPExamples()
	}
	json := map[string]string{"content-type": "application/json"}
	for text, want := range map[string][]*ruedov1.HttpExample{
		"{path: /items}": {{Path: "/items"}},
		"{method: POST, path: /greet, body: {name: Ada}}":                     {{Method: "POST", Path: "/greet", Headers: json, Body: []byte(`{"name":"Ada"}`)}},
		"[{}, {method: PUT, headers: {X-Id: '7'}, body: text}]":               {{Path: "/"}, {Method: "PUT", Path: "/", Headers: map[string]string{"x-id": "7"}, Body: []byte("text")}},
		"{body: '@body.json'}":                                                {{Path: "/", Body: []byte(`{"name":"Ada"}`)}},
		`"{path: /flag}"`:                                                     {{Path: "/flag"}},
		`"@requests.yaml"`:                                                    {{Path: "/a"}, {Path: "/b"}},
		"{headers: {Content-Type: application/connect+json}, body: {a: [1]}}": {{Path: "/", Headers: map[string]string{"content-type": "application/connect+json"}, Body: []byte(`{"a":[1]}`)}},
	} {
		got, err := read(text)
		if err != nil || !slices.EqualFunc(got, want, func(a, b *ruedov1.HttpExample) bool { return proto.Equal(a, b) }) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, words := range map[string]string{
		"text":                    "takes requests, and this is none",
		"7":                       "takes requests, and this is none",
		"[{path: /}, 7]":          "example 2: a service of kind http takes requests",
		"{name: Ada}":             `unknown key "name"`,
		"{pat: /}":                `unknown key "pat", did you mean path?`,
		"{path: items}":           "does not begin with a slash",
		"{path: 7}":               "path is not text",
		"{method: [GET]}":         "method is not text",
		"{headers: a}":            "headers is not a mapping",
		"{headers: {a: 0644}}":    "header field a",
		"{headers: {a: b, A: c}}": "there twice",
		"{body: '@none'}":         "cannot be read",
	} {
		if got, err := read(text); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, %v; want %s", text, got, err, words)
		}
	}
}

func TestRoutesAreWrittenAsTheyAreRead(t *testing.T) {
	routes := Routes{{Path: "/shop/"}, {Host: "shop.example.com", Path: "/", Methods: []string{"GET", "POST"}}}
	written, err := yaml.Marshal(ServiceDocument(&ruedov1.Service{Name: "a", Revision: &ruedov1.Revision{Routes: routes}}))
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Routes Routes `yaml:"routes"`
	}
	if err := yaml.Unmarshal(written, &read); err != nil || len(read.Routes) != 2 || !proto.Equal(read.Routes[0], routes[0]) || !proto.Equal(read.Routes[1], routes[1]) {
		t.Errorf("%v became %v, %v\n%s", routes, read.Routes, err, written)
	}
	for text, words := range map[string]string{
		"routes: /shop/": ":1: a list of routes is expected here",
		"name: a\nroutes:\n- path: /shop/\n- path: /call/": ":4: route \"/call/\": requests for the API could match it; choose another path",
		"routes: [{methds: [GET], path: /}]":               `unknown key "methds", did you mean methods?`,
		"routes: [{host: Shop.example, path: /}]":          "lower case",
	} {
		var s Service
		if err := yamlfile.One("ruedo.yaml", []byte(text), &s); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v; want %s", text, err, words)
		}
	}
}
