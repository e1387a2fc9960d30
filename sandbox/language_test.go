package sandbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/sandbox"
)

// Guests of other languages than Go give the same answers in every isolation,
// call after call. They are committed with their sources, for the benchmarks.
func TestOtherLanguages(t *testing.T) {
	e := newEngine(t, cached())
	for _, guest := range []struct {
		file       string
		isolations []sandbox.Isolation
	}{
		{"c/function", []sandbox.Isolation{sandbox.Pristine, sandbox.Shared, sandbox.Fresh}},
		{"as/answer", []sandbox.Isolation{sandbox.Pristine, sandbox.Shared, sandbox.Fresh}},
		{"js/answer", []sandbox.Isolation{sandbox.Pristine, sandbox.Shared, sandbox.Fresh}},
		{"c/command", []sandbox.Isolation{sandbox.PerCall}},
	} {
		wasm, err := os.ReadFile(filepath.Join("..", "internal", "bench", "guests", filepath.FromSlash(guest.file)+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		for _, isolation := range guest.isolations {
			t.Run(guest.file+"/"+string(isolation), func(t *testing.T) {
				tpl := loadIn(t, e, sandbox.Spec{Wasm: wasm, Isolation: isolation, Limits: patient(), Example: []byte(`{"name":"you"}`)})
				if r := tpl.Report(); r.Isolation != isolation {
					t.Fatalf("report: %+v", r)
				}
				for n := range 20 {
					name := strings.Repeat("x", n*n) + fmt.Sprint(n)
					res, err := tpl.Call(t.Context(), sandbox.Request{Input: fmt.Appendf(nil, `{"name":%q}`, name)})
					if want := `{"greeting":"Hello, ` + name + `!"}`; err != nil || strings.TrimSpace(string(res.Output)) != want {
						t.Fatalf("call %d: %s, %v", n, res.Output, err)
					}
				}
			})
		}
	}
}
