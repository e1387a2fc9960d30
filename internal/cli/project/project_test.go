package project

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	dir := directory(t, map[string]string{ServiceFile: `
name: greet
description: Greets.
tags: [a, b]
kind: command
build: [cargo, build]
decorators: [greet-input]
env: {KEY: value, PORT: 8, MODE: 0644, EMPTY: , QUOTED: "a b", ON: yes, FLAG: true}
args: [-top, "3", 4, 1.50]
example: {name: Ada, age: 36}
`})
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	example, err := s.ExampleBytes()
	if err != nil || string(example) != `{"age":36,"name":"Ada"}` {
		t.Errorf("example = %s, %v", example, err)
	}
	if s.Name != "greet" || s.Kind != KindCommand || len(s.Command) != 2 || s.Env["PORT"] != "8" || s.Env["MODE"] != "0644" || s.Env["EMPTY"] != "" || s.Env["QUOTED"] != "a b" || s.Env["FLAG"] != "true" ||
		strings.Join(s.Args.Strings(), " ") != "-top 3 4 1.50" || s.Tags[1] != "b" {
		t.Errorf("got %+v", s)
	}
}

func TestLoadSmall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "counter")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); !errors.Is(err, fault.RequestInvalid) {
		t.Errorf("an empty directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(dir)
	if err != nil || s.Name != "counter" || len(s.Command) != 0 {
		t.Errorf("a directory of Go: %+v, %v", s, err)
	}
}

func TestExample(t *testing.T) {
	dir := directory(t, map[string]string{"in.bin": "\x00\x01"})
	for _, tt := range []struct {
		example any
		want    string
	}{
		{nil, ""}, {"plain text", "plain text"}, {"@in.bin", "\x00\x01"}, {[]any{1, "a"}, `[1,"a"]`}, {true, "true"},
	} {
		s := &Service{Dir: dir, Example: tt.example}
		if got, err := s.ExampleBytes(); err != nil || string(got) != tt.want {
			t.Errorf("%v: %q, %v; want %q", tt.example, got, err, tt.want)
		}
	}
	if _, err := (&Service{Dir: dir, Example: "@none"}).ExampleBytes(); !errors.Is(err, fault.ConfigInvalid) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLoadRefused(t *testing.T) {
	for name, tt := range map[string]struct{ yaml, says string }{
		"unknown key": {"name: a\ndecorator: [b]\n", `ruedo.yaml:2: unknown key "decorator", did you mean decorators?`},
		"kind":        {"name: a\nkind: grpc\n", `kind is "grpc": function, http or command is expected`},
		"env":         {"name: a\nenv: {A: [1]}\n", "text is expected here"},
		"build":       {"name: a\nbuild: make\n", "build is expected to be go, or a list"},
		"placement":   {"name: a\nplacement: zone in (eu-1\n", `ruedo.yaml:2: the label selector "zone in (eu-1" is not valid at character 14: "," or ")" is expected, not the end; write for example zone=eu-1`},
		"a tag":       {"name: a\nplacement: !gpu\n", `ruedo.yaml:2: a placement that begins with ! has to stand in quotes, such as "!gpu"`},
		"a list":      {"name: a\nplacement: [zone]\n", "ruedo.yaml:2: a label selector is expected here, such as zone=eu-1"},
		"name":        {"name: My_Service\n", `"My_Service" cannot be the name of a service`},
	} {
		_, err := Load(directory(t, map[string]string{ServiceFile: tt.yaml}))
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v; want %q", name, err, tt.says)
		}
	}
	if _, err := Load("/nowhere"); !errors.Is(err, fault.RequestInvalid) {
		t.Errorf("no directory: %v", err)
	}
}

func TestDecorators(t *testing.T) {
	dir := directory(t, map[string]string{DecoratorsFile: `
kind: Decorator
name: one
input_schema: {type: object, required: [name], properties: {n: {type: integer, maximum: 5}}}
limits: {memory: 64MiB, timeout: 2s, input: 1MiB, output: 1000, logs: 64KiB, cpu: 1s, concurrency: 3}
policy: {idempotent: true}
---
kind: Decorator
name: two
tags: [x]
`})
	ds, err := Decorators(dir)
	if err != nil || len(ds) != 2 {
		t.Fatalf("%v, %v", ds, err)
	}
	one := ds[0]
	if one.Limits.MemoryBytes != 64<<20 || one.Limits.Timeout.Seconds != 2 || one.Limits.OutputBytes != 1000 || !one.Policy.Idempotent ||
		one.Limits.InputBytes != 1<<20 || one.Limits.LogBytes != 64<<10 || one.Limits.CpuTime.Seconds != 1 || one.Limits.Concurrency != 3 ||
		one.InputSchema.Fields["properties"].GetStructValue().Fields["n"].GetStructValue().Fields["maximum"].GetNumberValue() != 5 {
		t.Errorf("one = %v", one)
	}
	if ds[1].Limits != nil || ds[1].Policy != nil || ds[1].InputSchema != nil {
		t.Errorf("two = %v", ds[1])
	}
	if ds, err := Decorators(t.TempDir()); ds != nil || err != nil {
		t.Errorf("no file: %v, %v", ds, err)
	}
}

func TestLimitsTakeAnchors(t *testing.T) {
	ds, err := Decorators(directory(t, map[string]string{DecoratorsFile: `
kind: Decorator
name: one
description: &size 64MiB
limits: &all {memory: *size, timeout: 1s}
---
kind: Decorator
name: two
input_schema: {x: &base {memory: 1MiB}}
limits: {<<: *base, timeout: 2s, logs: }
`}))
	if err != nil || ds[0].GetLimits().GetMemoryBytes() != 64<<20 || ds[1].GetLimits().GetMemoryBytes() != 1<<20 || ds[1].GetLimits().GetTimeout().GetSeconds() != 2 {
		t.Errorf("%v, %v", ds, err)
	}
}

func TestDecoratorsRefused(t *testing.T) {
	for name, tt := range map[string]struct{ yaml, says string }{
		"unknown key":   {"kind: Decorator\nname: a\nlimits: {memry: 1}\n", `:3: unknown key "memry", did you mean memory?`},
		"unknown later": {"kind: Decorator\nname: a\n---\nkind: Decorator\nnmae: b\n", `:5: unknown key "nmae", did you mean name?`},
		"kind":          {"kind: Decoration\nname: a\n", `:1: kind is "Decoration": Decorator is expected`},
		"size":          {"kind: Decorator\nname: a\nlimits: {memory: lots}\n", `limits.memory is "lots": a size such as 64MiB`},
		"too small":     {"kind: Decorator\nname: a\nlimits: {memory: 64}\n", `limits.memory is 64 bytes: between 64 KiB and 4 GiB is expected`},
		"count":         {"kind: Decorator\nname: a\nlimits: {concurrency: many}\n", `limits.concurrency is "many": a number such as 8`},
		"a list":        {"kind: Decorator\nname: a\nlimits: [memory]\n", `:3: sequence was used where mapping is expected`},
		"far from any":  {"kind: Decorator\nname: a\nlimits:\n  timeout: 1s\n  zzz: 1\n", `:5: unknown key "zzz"`},
		"timeout":       {"kind: Decorator\nname: a\nlimits: {timeout: 2}\n", `limits.timeout is "2": a duration such as 2s`},
		"name":          {"kind: Decorator\nname: A B\n", `"A B" cannot be the name of a decorator`},
	} {
		_, err := Decorators(directory(t, map[string]string{DecoratorsFile: tt.yaml}))
		if !errors.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v; want %q", name, err, tt.says)
		}
	}
}

func TestBuild(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.wasm")
	plain := directory(t, map[string]string{"go.mod": "module plain\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { println(1) }\n"})
	s := &Service{Name: "plain", Dir: plain}
	if err := s.Build(t.Context(), out, os.Environ(), io.Discard); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(out); !bytes.HasPrefix(data, []byte("\x00asm")) || !bytes.Contains(data, []byte("_start")) {
		t.Error("no command came out")
	}
	broken := directory(t, map[string]string{"go.mod": "module broken\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { oops }\n"})
	var messages strings.Builder
	err := (&Service{Name: "broken", Dir: broken}).Build(t.Context(), out, os.Environ(), &messages)
	if !errors.Is(err, fault.BuildFailed) || !strings.Contains(messages.String(), "undefined: oops") {
		t.Errorf("broken source: %v, %q", err, messages.String())
	}
	if err := (&Service{Name: "none", Dir: t.TempDir()}).Build(t.Context(), out, os.Environ(), io.Discard); !errors.Is(err, fault.BuildFailed) {
		t.Errorf("no source: %v", err)
	}
}

func TestBuildByCommand(t *testing.T) {
	dir := directory(t, map[string]string{"src": "module", "make.sh": "#!/bin/sh\ncp src $1\n"})
	out := filepath.Join(t.TempDir(), "out.wasm")
	for name, argv := range map[string][]string{
		"names the file": {"cp", "src", "{out}"},
		"own script":     {"./make.sh", "{out}"},
		"by convention":  {"cp", "src", "svc.wasm"},
	} {
		os.Remove(out)
		s := &Service{Name: "svc", Dir: dir, Command: argv}
		if err := s.Build(t.Context(), out, os.Environ(), io.Discard); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if data, _ := os.ReadFile(out); string(data) != "module" {
			t.Errorf("%s: out holds %q", name, data)
		}
	}
	for name, argv := range map[string][]string{
		"makes nothing": {"true"},
		"fails":         {"false"},
		"not there":     {"no-such-tool"},
	} {
		s := &Service{Name: "other", Dir: dir, Command: argv}
		if err := s.Build(t.Context(), out, os.Environ(), io.Discard); !errors.Is(err, fault.BuildFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDetectKind(t *testing.T) {
	sdk := "package main\n\nimport \"github.com/ruedo-dev/ruedo/sdk\"\n\nfunc init() { sdk.Main() }\n"
	web := strings.ReplaceAll(sdk, "/sdk\"", "/sdk/web\"")
	plain := "package main\n\nfunc main() {}\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"function":         {map[string]string{"main.go": plain, "b.go": sdk}, KindFunction},
		"http":             {map[string]string{"main.go": plain, "b.go": web}, KindHTTP},
		"both":             {map[string]string{"a.go": web, "b.go": sdk}, KindFunction},
		"command":          {map[string]string{"main.go": plain}, KindCommand},
		"sdk only in test": {map[string]string{"main.go": plain, "a_test.go": sdk}, KindCommand},
	} {
		if got, err := detectKind(directory(t, tt.files)); got != tt.want || err != nil {
			t.Errorf("%s: %s, %v; want %s", name, got, err, tt.want)
		}
	}
}

func TestReadModule(t *testing.T) {
	dir := directory(t, map[string]string{"a.wasm": "0123456789"})
	path := filepath.Join(dir, "a.wasm")
	if data, err := ReadModule(path, 10); err != nil || len(data) != 10 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if _, err := ReadModule(path, 9); !errors.Is(err, fault.UploadTooLarge) || !strings.Contains(err.Error(), "has 10 bytes, the limit for a module is 9") {
		t.Errorf("too large: %v", err)
	}
	if _, err := ReadModule(filepath.Join(dir, "none"), 9); !errors.Is(err, fault.RequestInvalid) {
		t.Errorf("missing: %v", err)
	}
}
