package cli

import "runtime/debug"

// The garbage collector of processes that serve: they hold little and allocate
// much, so that collecting five times less often is time for calls. Above the
// limit it works as hard as it has to.
const (
	gcPercent     = 400
	gcMemoryLimit = 2 << 30
)

// serving sets the garbage collector for a process that serves, where the user
// has not done so by GOGC or GOMEMLIMIT.
func (a *app) serving() {
	if a.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if a.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(gcMemoryLimit)
	}
}
