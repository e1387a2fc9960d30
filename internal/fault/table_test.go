package fault

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the reasons to docs/errors.md")

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

// docs/errors.md has the table of reasons, made from this package.
func TestReasonsAreDocumented(t *testing.T) {
	const path, begin, end = "../../docs/errors.md", "<!-- reasons -->\n", "<!-- /reasons -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the reasons: %s...%s", path, begin, end)
	}
	var b strings.Builder
	b.WriteString("| reason | code | exit code | meaning |\n|---|---|---|---|\n")
	for _, r := range slices.Sorted(maps.Keys(table)) {
		fmt.Fprintf(&b, "| `%s` | %s | %d | %s |\n", r, r.Code(), r.ExitCode(), table[r].text)
	}
	want := before + begin + b.String() + end + after
	if want == string(page) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the table of reasons says: run `make generate`", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
