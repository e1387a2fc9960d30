//go:build amd64 || arm64

package pristine

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadUsage is how many page faults the calling thread has taken so far, or -1
// if the kernel does not say, and its processor time.
func threadUsage() (faults int64, cpu time.Duration) {
	var usage unix.Rusage
	// It never blocks, so the scheduler need not know.
	_, _, errno := unix.RawSyscall(unix.SYS_GETRUSAGE, unix.RUSAGE_THREAD, uintptr(unsafe.Pointer(&usage)), 0)
	if errno != 0 {
		return -1, 0
	}
	return usage.Minflt + usage.Majflt, time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func threadFaults() int64 {
	faults, _ := threadUsage()
	return faults
}
