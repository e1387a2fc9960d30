package sdk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// streams are the functions that only sdk/web imports.
var streams = []string{"body_open", "output_flush", "trailers_write", "stream_open", "stream_head"}

// Directives take literals, not constants: this compares them with
// internal/abi.
func TestDirectivesMatchTheContract(t *testing.T) {
	imports, exports := directives(t, "guest_wasip1.go")
	wantImports := slices.DeleteFunc(abi.HostImports(), func(name string) bool { return slices.Contains(streams, name) })
	wantExports := []string{abi.ExportCall, abi.ExportWarm, abi.Marker}
	equal(t, "imports", imports, wantImports)
	equal(t, "exports", exports, wantExports)

	// log is sdk's alone, which sdk/web imports.
	imports, exports = directives(t, "web/guest_wasip1.go")
	wantImports = slices.DeleteFunc(append(wantImports, streams...), func(name string) bool { return name == abi.ImportLog })
	equal(t, "imports of web", imports, wantImports)
	equal(t, "exports of web", exports, []string{abi.MarkerHTTP})
}

// directives returns the names of what a file imports and exports.
func directives(t *testing.T, path string) (imports, exports []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Doc == nil {
			continue
		}
		for _, comment := range fn.Doc.List {
			if rest, ok := strings.CutPrefix(comment.Text, "//go:wasmimport "); ok {
				module, name, _ := strings.Cut(rest, " ")
				if module != abi.HostModule {
					t.Errorf("import from %q", module)
				}
				imports = append(imports, name)
			}
			if name, ok := strings.CutPrefix(comment.Text, "//go:wasmexport "); ok {
				exports = append(exports, name)
			}
		}
	}
	return imports, exports
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s %v, the contract has %v", what, got, want)
	}
}
