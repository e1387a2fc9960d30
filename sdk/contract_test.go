package sdk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// Directives take literals, not constants: this holds them to internal/abi.
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

// Guests pay for every import in megabytes, and a folder made by `ruedo new`
// carries the package along.
func TestImportsOnlyTheStandardLibraryAndTheContract(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	abiFiles, err := filepath.Glob("../internal/abi/*.go")
	if err != nil || len(abiFiles) == 0 {
		t.Fatal(abiFiles, err)
	}
	for _, name := range append(files, abiFiles...) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			first, _, _ := strings.Cut(path, "/")
			if strings.Contains(first, ".") && path != "github.com/ruedo-dev/ruedo/internal/abi" {
				t.Errorf("%s imports %s: the SDK stands on the standard library and internal/abi alone", name, path)
			}
		}
	}
}
