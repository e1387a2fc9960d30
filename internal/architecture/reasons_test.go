package architecture_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// The sandbox and the module reader must not import the table of errors, so
// they spell their reasons as strings. Each must be a word that the table has.
func TestReasonsOfTheLibrariesAreInTheTable(t *testing.T) {
	found := 0
	for _, dir := range []string{"../../sandbox", "../../sandbox/*", "../wasmbin"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok {
					return true
				}
				for i, id := range spec.Names {
					if !strings.HasPrefix(id.Name, "Reason") || i >= len(spec.Values) {
						continue
					}
					lit, ok := spec.Values[i].(*ast.BasicLit)
					if !ok {
						continue
					}
					word, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					found++
					if r := fault.Reason(word); r != fault.Internal && r.Code() == connect.CodeInternal {
						t.Errorf("%s: %s = %s has no row in internal/fault", name, id.Name, word)
					}
				}
				return true
			})
		}
	}
	if found < 15 {
		t.Errorf("found only %d reasons", found)
	}
}
