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

// Directives take literals, not constants: this compares them with
// internal/abi.
func TestDirectivesMatchTheContract(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "guest_wasip1.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var imports, exports []string
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
	wantImports, wantExports := abi.HostImports(), []string{abi.ExportCall, abi.ExportWarm, abi.Marker}
	for _, names := range [][]string{imports, exports, wantImports, wantExports} {
		slices.Sort(names)
	}
	if !slices.Equal(imports, wantImports) {
		t.Errorf("imports %v, the contract has %v", imports, wantImports)
	}
	if !slices.Equal(exports, wantExports) {
		t.Errorf("exports %v, the contract has %v", exports, wantExports)
	}
}
