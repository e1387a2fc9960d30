package fault

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
)

// A reason without a row would be INTERNAL.
func TestEveryReasonHasARow(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Reason" {
			return true
		}
		found++
		word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := table[Reason(word)]; !ok || !r.code.Valid() || r.exit == ExitOK || r.text == "" {
			t.Errorf("%s = %q: add its code, its exit code and its meaning to the table in reason.go", spec.Names[0], word)
		}
		return true
	})
	if found != len(table) {
		t.Errorf("there are %d reasons and %d rows", found, len(table))
	}
}

// An exit code that a reason or a command ends with is described, once.
func TestEveryExitCodeIsDescribed(t *testing.T) {
	described := map[int]int{}
	for i, c := range ExitCodes() {
		if described[c.Code]++; c.Meaning == "" || i > 0 && c.Code <= ExitCodes()[i-1].Code {
			t.Errorf("%d is out of order, or means nothing", c.Code)
		}
	}
	for r := range table {
		if described[r.ExitCode()] != 1 {
			t.Errorf("%s ends with %d, which is described %d times", r, r.ExitCode(), described[r.ExitCode()])
		}
	}
	f, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := 0
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			constants += len(g.Specs)
		}
	}
	if constants != len(described) {
		t.Errorf("there are %d exit codes, and %d are described", constants, len(described))
	}
}

// Documents show all reasons, each in one place.
func TestAreas(t *testing.T) {
	n := 0
	for _, a := range Areas() {
		for _, r := range a.Reasons {
			if n++; r.Meaning() == "" {
				t.Errorf("%s means nothing", r)
			}
		}
	}
	if n != len(table) {
		t.Errorf("there are %d rows in the areas, and %d reasons", n, len(table))
	}
}
