package cli

import (
	"runtime/debug"

	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// The garbage collector of processes that serve: they hold little and allocate
// much, so collecting five times less often leaves more time for calls. Above
// the limit it works as hard as it has to.
const (
	gcPercent     = 400
	gcMemoryLimit = 2 << 30
)

// serving sets the garbage collector for a process that serves, unless the user
// has set GOGC or GOMEMLIMIT.
func serving(s *session.Session) {
	if s.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if s.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(gcMemoryLimit)
	}
}
