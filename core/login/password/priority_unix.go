//go:build unix

package password

import (
	"syscall"
	"time"
)

// supported says that a process can have a priority.
const supported = true

// attr has a child be a process group of its own.
func attr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// yield gives this process the lowest priority: its whole group, because threads have a
// priority of their own.
func yield() error {
	if err := syscall.Setpriority(syscall.PRIO_PGRP, 0, 19); err != nil {
		return err
	}
	idle()
	return nil
}

// processorTime returns how much of it this process has had.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
