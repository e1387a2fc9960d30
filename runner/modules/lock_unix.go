//go:build linux || darwin

package modules

import (
	"os"

	"golang.org/x/sys/unix"
)

// lock locks a file until it is closed. It fails if another process has the lock.
func lock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
