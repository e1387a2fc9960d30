//go:build amd64 || arm64

package pristine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadFaults returns how many page faults the calling thread has taken so
// far, or -1 if the kernel does not report it.
func threadFaults() int64 {
	var usage unix.Rusage
	// It never blocks, so the scheduler need not be told.
	_, _, errno := unix.RawSyscall(unix.SYS_GETRUSAGE, unix.RUSAGE_THREAD, uintptr(unsafe.Pointer(&usage)), 0)
	if errno != 0 {
		return -1
	}
	return usage.Minflt + usage.Majflt
}
