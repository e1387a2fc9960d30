package derive_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/cli/derive"
)

// BenchmarkTypes measures what reading the types of examples/greet takes, with a
// warm build cache.
func BenchmarkTypes(b *testing.B) {
	p := program(b, map[string]string{})
	p.Dir, p.Env = filepath.Join("..", "..", "..", "examples", "greet"), append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	for b.Loop() {
		if _, err := derive.Types(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
}
