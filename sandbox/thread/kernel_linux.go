package thread

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// usage returns how many page faults the calling thread has taken, or -1 if the
// kernel does not say, and how often it gave up its processor. (The processor time
// there is as of the scheduler's last tick, some milliseconds ago.)
func usage() (faults, switches int64) {
	var u unix.Rusage
	// It never blocks, so the scheduler need not be told.
	_, _, errno := unix.RawSyscall(unix.SYS_GETRUSAGE, unix.RUSAGE_THREAD, uintptr(unsafe.Pointer(&u)), 0)
	if errno != 0 {
		return -1, 0
	}
	return u.Minflt + u.Majflt, u.Nvcsw + u.Nivcsw
}

// clock returns the processor time of the calling thread.
func clock() time.Duration {
	var ts unix.Timespec
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		return 0
	}
	return time.Duration(ts.Nano())
}
