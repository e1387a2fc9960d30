package runner

import (
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// SharedCache is the cache folder of all tests: compiling a guest is what
// takes longest, above all with -race.
var SharedCache string

var discard = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) {
	var err error
	if SharedCache, err = os.MkdirTemp("", "ruedo-runner-test-"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(SharedCache)
		os.Exit(code)
	}))
}
