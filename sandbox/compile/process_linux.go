package compile

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttr gives the child a process group of its own, and an end with its
// parent.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// hideDescriptors keeps what this process was given by its own parent, or opened
// by other means than Go's, from being given on: Go's own are not in any case.
func hideDescriptors() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) != nil { // before Linux 5.11
		hideEach("/proc/self/fd")
	}
}
