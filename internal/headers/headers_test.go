package headers_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/textproto"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/headers"
)

func TestTheTableIsComplete(t *testing.T) {
	described := map[string]bool{}
	for _, f := range append(headers.Requests(), headers.Answers()...) {
		if f.Name != textproto.CanonicalMIMEHeaderKey(f.Name) || f.Type == "" || f.Example == "" || !strings.HasSuffix(f.Meaning, ".") {
			t.Errorf("%+v is not complete", f)
		}
		described[f.Name] = true
		if f.Name == headers.Timeout {
			if d, err := time.ParseDuration(f.Example); err != nil || d > headers.MaxTimeout {
				t.Errorf("%s: %s", f.Name, f.Example)
			}
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "headers.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range literals(file) {
		if n++; !described[name] {
			t.Errorf("no table describes %s", name)
		}
	}
	if n < 10 {
		t.Errorf("found only %d fields", n)
	}
}

// literals returns the texts in a file that name a field of Ruedo.
func literals(f *ast.File) (list []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && strings.HasPrefix(s, headers.Prefix) && s != headers.Prefix && !strings.ContainsAny(s, " :") {
				list = append(list, s)
			}
		}
		return true
	})
	return list
}

// A field that is not in the table would not be in the documents.
func TestNobodySpellsOutAField(t *testing.T) {
	files := 0
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || path == "../../internal/headers/headers.go" {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		for _, name := range literals(f) {
			// The one between cores and runners is no field of calls.
			if name != "Ruedo-Lane" {
				t.Errorf("%s spells out %s: use package headers", path, name)
			}
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Errorf("looked at %d files, %v", files, err)
	}
}
