package architecture_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// words are what texts of the program must not have.
var words = []struct {
	pattern *regexp.Regexp
	except  []string // rooms whose texts can have it
	reason  string
}{
	{
		regexp.MustCompile(`\bruedo (apply|build|call|check|completion|config|create|delete|demo|describe|dev|get|logs|new|publish|rollback|run|runner|server)\b|RUEDO_[A-Z]`),
		[]string{"main", "internal/cli", "internal/ruedotest", "internal/executor/executortest", "internal/e2e", "internal/hostile", "examples", "gen"},
		"say what to do (\"list the services\") and name settings by their keys (server.port): the reader may be a program; the CLI adds its command in internal/cli/session/fix.go",
	},
	{
		regexp.MustCompile("^err$"), []string{"gen"},
		`the log key of an error is "error" everywhere, so that one query finds all`,
	},
}

func TestTextsUseTheWordsOfTheirRoom(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				for _, w := range words {
					if !inAny(p.ImportPath, w.except) && w.pattern.MatchString(text) {
						t.Errorf("%s/%s: %s: %s", p.ImportPath, name, lit.Value, w.reason)
					}
				}
				return true
			})
		}
	}
}
