// Package guests holds the modules that the benchmarks run. Go guests are built
// when they are needed, the others are committed as binaries; see the Makefile.
package guests

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

//go:embed c/*.wasm as/*.wasm js/*.wasm
var kept embed.FS

// Kept returns a guest that is committed as a binary, such as "c/function".
func Kept(name string) ([]byte, error) { return kept.ReadFile(name + ".wasm") }

// Build compiles a Go guest, such as "function", into a directory. The working
// directory must be that of the benchmarks' module.
func Build(ctx context.Context, dir, name string) ([]byte, error) {
	out := filepath.Join(dir, name+".wasm")
	mode := "c-shared"
	if name == "command" {
		mode = "default"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildmode="+mode, "-o", out, "./"+path.Join("guests", name))
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest %s: %w\n%s", name, err, text)
	}
	return os.ReadFile(out)
}
