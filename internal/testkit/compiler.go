package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
)

// Compiler builds a program that compiles modules and returns its command, for the
// field Compiler of runners and engines. The program is in dir, and built without
// the race detector, which makes compiling ten times slower and finds nothing there.
func Compiler(dir string) ([]string, error) {
	program := filepath.Join(dir, "compiler")
	cmd := exec.Command("go", "test", "-c", "-trimpath", "-ldflags=-w", "-o", program, "github.com/ruedo-dev/ruedo/internal/testkit/compiler")
	cmd.Stderr = os.Stderr
	return []string{program}, cmd.Run()
}
