package sandbox

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// threadCPU is the processor time of the calling thread. It means something
// between two calls on a goroutine that is locked to its thread.
func threadCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// lockThread and unlockThread bracket what threadCPU measures.
func lockThread()   { runtime.LockOSThread() }
func unlockThread() { runtime.UnlockOSThread() }
