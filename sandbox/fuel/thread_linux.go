package fuel

import (
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadCPU returns the processor time of the calling thread. Only the
// difference between two calls on a goroutine that is locked to its thread is
// meaningful. (getrusage, which is called for the page faults anyway, knows it
// only as of the scheduler's last tick, some milliseconds ago. But it knows whether
// the thread has lost its processor since, and if not, the wall clock will do.)
func threadCPU() time.Duration {
	var ts unix.Timespec
	// It never blocks, so the scheduler need not be told.
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		return 0
	}
	return time.Duration(ts.Nano())
}

// lockThread and unlockThread bracket what threadCPU measures. See "Why does
// the thread stay locked only while the guest runs?" in docs/RATIONALE.md.
func lockThread()   { runtime.LockOSThread() }
func unlockThread() { runtime.UnlockOSThread() }
