package runner

import (
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// SharedCache is the cache directory of all tests, because compiling a guest
// takes longest, especially with -race.
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
