package runner

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// SharedCache is the cache directory of all tests, and SharedCompiler compiles for
// them, because compiling a guest takes longest, especially with -race.
var (
	SharedCache    string
	SharedCompiler []string
)

var discard = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ruedo-runner-test-")
	if err != nil {
		panic(err)
	}
	SharedCache = filepath.Join(dir, "cache")
	if SharedCompiler, err = testkit.Compiler(dir); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}
