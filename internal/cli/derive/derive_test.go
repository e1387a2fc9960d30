package derive_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"

	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/internal/cli/derive"
)

// program writes the files of a module and returns it. A file without a name is
// main.go, after a package clause and the imports that it names.
func program(t testing.TB, files map[string]string) derive.Program {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	files["go.mod"] = "module example.com/app\n\ngo 1.26\n\nrequire github.com/ruedo-dev/ruedo v0.0.0\n\nreplace github.com/ruedo-dev/ruedo => ./ruedo\n"
	// The SDK as derive sees it: a function with two type parameters.
	files["ruedo/go.mod"] = "module github.com/ruedo-dev/ruedo\n\ngo 1.26\n"
	files["ruedo/sdk/sdk.go"] = "package sdk\n\nimport \"context\"\n\nfunc Handle[In, Out any](func(context.Context, In) (Out, error)) {}\n\nfunc HandleBytes(func(context.Context, []byte) ([]byte, error)) {}\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return derive.Program{
		Dir: dir, Tool: tool, Flags: []string{"-trimpath", "-buildvcs=false"},
		Env: append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off"),
	}
}

const header = `package main

import (
	"context"

	"github.com/ruedo-dev/ruedo/sdk"
)

func handle(context.Context, In) (Out, error) { panic("") }

func init() { sdk.Handle(handle) }

func main() {}

`

// TestTypesAsSchemas has one program with a field for each case.
func TestTypesAsSchemas(t *testing.T) {
	cases := []struct{ name, imports, decl, want string }{
		{"string", "", "F string", `{"type":"string"}`},
		{"bool", "", "F bool", `{"type":"boolean"}`},
		{"int", "", "F int", `{"type":"integer"}`},
		{"int8", "", "F int8", `{"type":"integer","minimum":-128,"maximum":127}`},
		{"uint", "", "F uint", `{"type":"integer","minimum":0}`},
		{"uint16", "", "F uint16", `{"type":"integer","minimum":0,"maximum":65535}`},
		{"float", "", "F float32", `{"type":"number"}`},
		{"pointer", "", "F *int", `{"type":["integer","null"]}`},
		{"slice", "", "F []string", `{"type":["array","null"],"items":{"type":"string"}}`},
		{"array", "", "F [2]bool", `{"type":"array","minItems":2,"maxItems":2,"items":{"type":"boolean"}}`},
		{"bytes", "", "F []byte", `{"type":["string","null"],"contentEncoding":"base64"}`},
		{"map", "", "F map[string]int", `{"type":["object","null"],"additionalProperties":{"type":"integer"}}`},
		{"map of anything", "", "F map[int]any", `{"type":["object","null"],"additionalProperties":true}`},
		{"anything", "", "F any", `{}`},
		{"raw", "encoding/json", "F json.RawMessage", `{}`},
		{"number", "encoding/json", "F json.Number", `{"type":"number"}`},
		{"time", "time", "F time.Time", `{"type":"string","format":"date-time"}`},
		{"optional time", "time", "F *time.Time", `{"type":["string","null"],"format":"date-time"}`},
		{"duration", "time", "F time.Duration", `{"type":"integer","description":"In nanoseconds."}`},
		{"big", "math/big", "F big.Int", `{"type":"integer"}`},
		{"text", "net/netip", "F netip.Addr", `{"type":"string"}`},
		{"own JSON", "", "F Own", `{}`},
		{"own text", "", "F Text", `{"type":"string"}`},
		{"embedded time", "time", "F struct{ time.Time }", `{}`},
		{"struct", "", "F struct{ A string `json:\"a\"` }", `{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}},"required":["a"]}`},
		{"enum", "", "F Color", `{"type":"string","enum":["red","green"]}`},
		{"optional enum", "", "F *Color", `{"type":["string","null"],"enum":["red","green",null]}`},
		{"one constant", "", "F Single", `{"type":"string"}`},
		{"enum of another package", "example.com/app/shape", "F shape.Shape", `{"type":"string","enum":["round","square"],"description":"Shape is a shape."}`},
		{"enum with a comment", "example.com/app/shape", "// How it looks.\nF shape.Shape", `{"type":"string","enum":["round","square"],"description":"How it looks."}`},
		{"map of an enum", "", "F map[Color]int", `{"type":["object","null"],"additionalProperties":{"type":"integer"},"propertyNames":{"enum":["red","green"]}}`},
		{"quoted", "", "F int `json:\",string\"`", `{"type":"string","pattern":"^-?[0-9]+$"}`},
		{"comment", "", "// F is\n// one.\nF string // not this", `{"type":"string","description":"F is one."}`},
		{"comment behind", "", "F string // what it is", `{"type":"string","description":"what it is"}`},
		{"generic", "", "F Page[string]", `{"type":"object","additionalProperties":false,"description":"Page is generic.","properties":{"items":{"type":["array","null"],"items":{"type":"string"},"description":"Items of it."}},"required":["items"]}`},
		{"nested type of another package", "example.com/app/shape", "F shape.Box", `{"type":"object","additionalProperties":false,"description":"Box has a side.","properties":{"side":{"type":"number","description":"Side in metres."}},"required":["side"]}`},
		{"text bounds", "", "F string `validate:\"required,min=2,max=8\"`", `{"type":"string","minLength":2,"maxLength":8}`},
		{"not empty", "", "F string `validate:\"required\"`", `{"type":"string","minLength":1}`},
		{"number bounds", "", "F int `validate:\"gte=1,lt=10\"`", `{"type":"integer","minimum":1,"exclusiveMaximum":10}`},
		{"item bounds", "", "F []string `validate:\"len=3,unique,dive,min=1\"`", `{"type":["array","null"],"minItems":3,"maxItems":3,"uniqueItems":true,"items":{"type":"string","minLength":1}}`},
		{"map values", "", "F map[string]int `validate:\"gt=0,dive,keys,min=2,endkeys,max=5\"`", `{"type":["object","null"],"minProperties":1,"additionalProperties":{"type":"integer","maximum":5}}`},
		{"oneof", "", "F string `validate:\"oneof=a 'b c'\"`", `{"type":"string","enum":["a","b c"]}`},
		{"oneof numbers", "", "F int `validate:\"oneof=1 2\"`", `{"type":"integer","enum":[1,2]}`},
		{"email", "", "F string `validate:\"email\"`", `{"type":"string","format":"email"}`},
		{"pattern", "", "F string `validate:\"alphanum\"`", `{"type":"string","pattern":"^[a-zA-Z0-9]+$"}`},
		{"prefix", "", "F string `validate:\"startswith=a.b\"`", `{"type":"string","pattern":"^a\\.b"}`},
		{"unknown rules", "", "F string `validate:\"excludesall=!,rgb|rgba,min=x\"`", `{"type":"string"}`},
	}
	files := map[string]string{"shape/shape.go": `// Package shape has shapes.
package shape

// Shape is a shape.
type Shape string

const (
	Round  Shape = "round"
	square Shape = "square"
)

// Box has a side.
type Box struct {
	Side float64 ` + "`json:\"side\"`" + ` // Side in metres.
}
`}
	types := `package main

type Own struct{ x int }

func (o *Own) UnmarshalJSON([]byte) error { return nil }

type Text struct{ x int }

func (t *Text) UnmarshalText([]byte) error { return nil }

type Color string

const (
	Red   Color = "red"
	Green Color = "green"
)

type Single string

const OnlyOne Single = "one"

// Page is generic.
type Page[T any] struct {
	Items []T ` + "`json:\"items\"` // Items of it.\n}\n"
	files["types.go"] = types
	body := header + "type Out struct{}\n\ntype In struct {\n"
	for i, c := range cases {
		n := strings.ReplaceAll(c.name, " ", "_")
		file := "package main\n\n"
		if c.imports != "" {
			file += "import \"" + c.imports + "\"\n\n"
		}
		files["case_"+n+".go"] = file + "type case_" + n + " struct {\n" + c.decl + "\n}\n"
		body += "\tC" + string(rune('A'+i/26)) + string(rune('A'+i%26)) + " case_" + n + " `json:\"" + c.name + "\"`\n"
	}
	files["main.go"] = body + "}\n"
	schemas, err := derive.Types(t.Context(), program(t, files))
	if err != nil {
		t.Fatal(err)
	}
	properties := schemas.Input.AsMap()["properties"].(map[string]any)
	for _, c := range cases {
		var want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		object, _ := properties[c.name].(map[string]any)
		got := object["properties"].(map[string]any)["F"]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if admitted(t, schemas) == nil {
		t.Error("the schema is not admitted")
	}
}

func admitted(t *testing.T, s derive.Schemas) *decorate.Decorator {
	t.Helper()
	d, err := decorate.NewCompiler().AdmitTypes(t.Context(), &ruedov1.Revision{Service: "s", InputSchema: s.Input, OutputSchema: s.Output})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wantInput compares the schema of the input with JSON.
func wantInput(t *testing.T, p derive.Program, want string) derive.Schemas {
	t.Helper()
	schemas, err := derive.Types(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	var w map[string]any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, schemas.Input.AsMap()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	admitted(t, schemas)
	return schemas
}

func TestFieldsAreThoseOfEncodingJSON(t *testing.T) {
	p := program(t, map[string]string{"main.go": header + `
type Out struct {
	A *int  ` + "`json:\"a\"`" + `
	B int   ` + "`json:\"b,omitempty\"`" + `
	C []int
}

// In is what comes in.
type In struct {
	Base
	*Late
	Named    Late ` + "`json:\"named\"`" + `
	Optional int  ` + "`json:\"optional,omitempty\"`" + `
	Zero     int  ` + "`json:\",omitzero\"`" + `
	Pointer  *int
	Must     *int ` + "`validate:\"required\"`" + `
	Skipped  int  ` + "`json:\"-\"`" + `
	Dash     int  ` + "`json:\"-,\"`" + `
	hidden   int
	Hides    string ` + "`json:\"over\"`" + `
	One
	Two
}

type Base struct {
	ID   string ` + "`json:\"id\"`" + `
	Over int    ` + "`json:\"over\"`" + `
}

type Late struct{ At string }

type One struct{ Twice int }

type Two struct{ Twice int }
`})
	integer := `{"type":"integer"}`
	schemas := wantInput(t, p, `{"type":"object","description":"In is what comes in.","additionalProperties":false,
		"required":["named","Must","-","over","id"],"properties":{
		"id":{"type":"string"},"over":{"type":"string"},"At":{"type":"string"},"Zero":`+integer+`,"optional":`+integer+`,
		"Pointer":{"type":["integer","null"]},"Must":{"type":["integer","null"]},"-":`+integer+`,
		"named":{"type":"object","additionalProperties":false,"required":["At"],"properties":{"At":{"type":"string"}}}}}`)
	out := schemas.Output.AsMap()
	if diff := cmp.Diff([]any{"a", "C"}, out["required"]); diff != "" || out["additionalProperties"] != nil {
		t.Errorf("the output: %v", out)
	}
}

func TestRecursiveTypesAreReferences(t *testing.T) {
	p := program(t, map[string]string{"main.go": header + `
type Out struct{}

// In is a tree.
type In struct {
	Value int  ` + "`json:\"value\"`" + `
	// Left is smaller.
	Left  *In  ` + "`json:\"left\"`" + `
	All   []In ` + "`json:\"all,omitempty\"`" + `
}
`})
	wantInput(t, p, `{"$ref":"#/$defs/In","$defs":{"In":{"type":["object","null"],"description":"In is a tree.","additionalProperties":false,"required":["value"],"properties":{
		"value":{"type":"integer"},"left":{"$ref":"#/$defs/In","description":"Left is smaller."},"all":{"type":["array","null"],"items":{"$ref":"#/$defs/In"}}}}}}`)
}

func TestUnknownFieldsCanBeAllowed(t *testing.T) {
	p := program(t, map[string]string{"main.go": header + "type Out struct{}\n\ntype In struct{ A int }\n"})
	p.Open = true
	wantInput(t, p, `{"type":"object","required":["A"],"properties":{"A":{"type":"integer"}}}`)
}

func TestHandlersWithoutASchema(t *testing.T) {
	for name, c := range map[string]struct{ text, err string }{
		"bytes":              {"package main\n\nimport (\n\t\"context\"\n\n\t\"github.com/ruedo-dev/ruedo/sdk\"\n)\n\nfunc init() { sdk.HandleBytes(func(context.Context, []byte) ([]byte, error) { return nil, nil }) }\n\nfunc main() {}\n", ""},
		"nothing":            {header + "type Out = any\n\ntype In = struct{}\n", ""},
		"anything":           {header + "type Out = any\n\ntype In = any\n", ""},
		"type parameters":    {strings.Replace(header, "sdk.Handle(handle)", "on(handle)", 1) + "func on[A, B any](f func(context.Context, A) (B, error)) { sdk.Handle(f) }\n\ntype Out struct{}\n\ntype In struct{}\n", "type parameters"},
		"two handlers":       {header + "func init() { sdk.Handle(func(context.Context, int) (int, error) { return 0, nil }) }\n\ntype Out struct{}\n\ntype In struct{}\n", "different types"},
		"a type that is not": {header + "type Out struct{}\n\ntype In struct{ A missing }\n", "cannot be read"},
		"too deep":           {header + "type Out struct{}\n\ntype In struct{ A " + strings.Repeat("[]", 50) + "int }\n", "nests more than 40"},
	} {
		t.Run(name, func(t *testing.T) {
			schemas, err := derive.Types(t.Context(), program(t, map[string]string{"main.go": c.text}))
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%v", err)
			}
			if schemas.Input != nil || schemas.Output != nil {
				t.Errorf("%v", schemas)
			}
		})
	}
}

// A handler can be registered by a package that the program imports.
func TestAHandlerInAnotherPackage(t *testing.T) {
	p := program(t, map[string]string{
		"main.go":       "package main\n\nimport _ \"example.com/app/service\"\n\nfunc main() {}\n",
		"service/it.go": strings.Replace(strings.Replace(header, "package main", "package service", 1), "func main() {}", "", 1) + "type Out struct{}\n\ntype In struct{ A int }\n",
	})
	wantInput(t, p, `{"type":"object","additionalProperties":false,"required":["A"],"properties":{"A":{"type":"integer"}}}`)
}

func TestALargeSchemaHasNoDescriptions(t *testing.T) {
	fields := ""
	for i := range 300 {
		fields += "\t// " + strings.Repeat("word ", 70) + "\n\tF" + strings.Repeat("x", i) + " int\n"
	}
	schemas, err := derive.Types(t.Context(), program(t, map[string]string{"main.go": header + "type Out struct{}\n\ntype In struct {\n" + fields + "}\n"}))
	if err == nil || !strings.Contains(err.Error(), "more than 65536 bytes") {
		t.Errorf("%v", err)
	}
	fields = strings.ReplaceAll(fields, strings.Repeat("x", 100), "y")
	schemas, err = derive.Types(t.Context(), program(t, map[string]string{"main.go": header + "type Out struct{}\n\ntype In struct {\n" + fields + "}\n"}))
	if err != nil || strings.Contains(schemas.Input.String(), "word") {
		t.Errorf("%v", err)
	}
}

func TestReadingTypesEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := derive.Types(ctx, program(t, map[string]string{"main.go": header})); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
