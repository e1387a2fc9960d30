package derive_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/derive"
)

// The go command is asked again whenever it could say something else, and only
// then; what is read of the types is right in any case.
func TestTheGoCommandIsAskedAgainOnlyIfItMatters(t *testing.T) {
	const main = header + "type In struct{ A inner.A }\n\ntype Out struct{}\n"
	imports := func(text string) string {
		return strings.Replace(text, "import (", "import (\n\t\"example.com/app/inner\"", 1)
	}
	p := program(t, map[string]string{
		"main.go":        imports(main),
		"other.go":       "package main\n\nfunc other() {}\n",
		"inner/inner.go": "package inner\n\ntype A string\n",
	})
	asked := filepath.Join(t.TempDir(), "asked")
	tool := filepath.Join(t.TempDir(), "go")
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(tool, fmt.Sprintf("#!/bin/sh\necho >> %s\nexec %s \"$@\"\n", asked, p.Tool))
	settle(t, filepath.Dir(tool))
	p.Tool, p.Last = tool, new(derive.Listing)
	in := func(name string) string { return filepath.Join(p.Dir, filepath.FromSlash(name)) }

	for _, step := range []struct {
		name   string
		change func()
		asks   bool
		want   string // in the schema of the input
	}{
		{"the first time", func() {}, true, `A:map[type:string]`},
		{"nothing has changed", func() {}, false, `A:map[type:string]`},
		{"a type", func() { put(in("main.go"), strings.Replace(imports(main), "A inner.A", "B bool; A inner.A", 1)) }, false, `B:map[type:boolean]`},
		{"what the program does", func() { put(in("other.go"), "package main\n\nfunc other() int { return 1 }\n") }, false, `B:map[type:boolean]`},
		{"another package", func() { put(in("inner/inner.go"), "package inner\n\ntype A bool\n") }, true, `A:map[type:boolean]`},
		{"a new file there", func() { put(in("inner/more.go"), "package inner\n") }, true, `A:map[type:boolean]`},
		{"an import", func() { put(in("other.go"), "package main\n\nimport \"time\"\n\nvar other time.Time\n") }, true, `A:map[type:boolean]`},
		{"a build constraint", func() {
			put(in("other.go"), "//go:build !wasip1\n\npackage main\n\nimport \"time\"\n\nvar other time.Time\n")
		}, true, `A:map[type:boolean]`},
		{"a file that goes", func() {
			if err := os.Remove(in("other.go")); err != nil {
				t.Fatal(err)
			}
		}, true, `A:map[type:boolean]`},
		{"the module", func() {
			if err := os.Chtimes(in("go.mod"), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		}, true, `A:map[type:boolean]`},
		{"a workspace", func() { p.Env = append(p.Env, "GOWORK=", "GOFLAGS=") }, true, `A:map[type:boolean]`},
		{"the same workspace", func() { put(in("go.work"), "go 1.26\n\nuse .\n") }, true, `A:map[type:boolean]`},
		{"modules of the workspace can change", func() {}, true, `A:map[type:boolean]`},
	} {
		step.change()
		settle(t, p.Dir)
		put(asked, "")
		schemas, err := derive.Types(t.Context(), p)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		text, err := os.ReadFile(asked)
		if asks := len(text) > 0; err != nil || asks != step.asks {
			t.Errorf("%s: the go command was asked: %t, %v", step.name, asks, err)
		}
		if got := fmt.Sprint(schemas.Input.AsMap()["properties"]); !strings.Contains(got, step.want) {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

// What changes while the go command looks at it is looked at again.
func TestFilesThatAreStillChangingAreReadAgain(t *testing.T) {
	p := program(t, map[string]string{"main.go": header + "type In struct{ A string }\n\ntype Out struct{}\n"})
	p.Last = new(derive.Listing)
	soon := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(p.Dir, "main.go"), soon, soon); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := derive.Types(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if p.Last.Kept() {
			t.Error("the answer is kept")
		}
	}
}

// settle lets the files of a directory be older than they are, as if they had been
// saved a while ago.
func settle(t *testing.T, dir string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
		if err != nil || st.IsDir() || time.Since(st.ModTime()) > time.Minute {
			return err
		}
		at := st.ModTime().Add(-time.Minute)
		return os.Chtimes(path, at, at)
	})
	if err != nil {
		t.Fatal(err)
	}
}
