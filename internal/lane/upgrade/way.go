package upgrade

import (
	"sync/atomic"
	"time"
)

// rest is how long no upgrade is tried where one did not pass.
const rest = 10 * time.Minute

// Way is what a runner knows about the way to a core: whether upgrades pass it. The zero
// Way is open. Its methods can be called from many goroutines at the same time.
type Way struct{ shut atomic.Int64 }

// Open reports whether to try an upgrade.
func (w *Way) Open() bool { return time.Now().UnixNano() >= w.shut.Load() }

// Shut says that an upgrade did not pass: none is tried for a while.
func (w *Way) Shut() { w.shut.Store(time.Now().Add(rest).UnixNano()) }
