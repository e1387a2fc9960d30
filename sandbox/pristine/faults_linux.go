//go:build amd64 || arm64

package pristine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadUsage returns how many page faults the calling thread has taken so far,
// or -1 if the kernel does not report it, and how often it gave up its processor.
func threadUsage() (faults, switches int64) {
	var usage unix.Rusage
	// It never blocks, so the scheduler need not be told.
	_, _, errno := unix.RawSyscall(unix.SYS_GETRUSAGE, unix.RUSAGE_THREAD, uintptr(unsafe.Pointer(&usage)), 0)
	if errno != 0 {
		return -1, 0
	}
	return usage.Minflt + usage.Majflt, usage.Nvcsw + usage.Nivcsw
}
