package confine

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// Attr returns attributes that give a child a process group of its own and end it
// with its parent.
func Attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// HideDescriptors keeps children from inheriting what this process was given by its
// own parent, or opened by other means than Go's. Go's own are never inherited.
func HideDescriptors() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) != nil { // before Linux 5.11
		hideEach("/proc/self/fd")
	}
}
