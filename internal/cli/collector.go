package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"github.com/ruedo-dev/ruedo/internal/cli/doctor"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// The garbage collector of processes that serve: most hold little and allocate
// much, so collecting five times less often leaves more time for calls. One that
// holds much would take several times as much again for garbage: its garbage is
// bounded in bytes, but may always be twice what it holds, because to look through
// that takes time too. Above the limit it works as hard as it has to.
const (
	gcPercent     = 400
	minGCPercent  = 200
	gcGarbage     = 160 << 20
	gcMemoryLimit = doctor.DefaultHeap
)

// serving sets the garbage collector for a process that serves, unless the user
// has set GOGC or GOMEMLIMIT.
func serving(s *session.Session) {
	if s.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		c := &collector{percent: gcPercent, live: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
		runtime.SetFinalizer(c, (*collector).collected)
	}
	if s.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(gcMemoryLimit)
	}
}

// collector sets how often garbage is collected. Nothing refers to it, so its
// finalizer runs after each collection.
type collector struct {
	percent int
	live    []metrics.Sample
}

func (c *collector) collected() {
	metrics.Read(c.live)
	if next := percentFor(c.live[0].Value.Uint64()); next != c.percent {
		c.percent = next
		debug.SetGCPercent(next)
	}
	runtime.SetFinalizer(c, (*collector).collected)
}

// percentFor returns how much garbage there can be, in percent of what is in use.
// It has few values, because changing it stops the process for a moment.
func percentFor(live uint64) int {
	percent := gcGarbage * 100 / max(live, 1)
	return int(min(max(percent/step*step, minGCPercent), gcPercent))
}

// step is the distance between two values of percentFor.
const step = 25
