//go:build linux || darwin

package identity

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lock locks a file until unlock is called or the process ends; create makes the
// file, which must not exist. unlock is nil if that is not possible, for example
// because another process has the lock.
func lock(path string, create bool) (unlock func()) {
	flags := os.O_RDWR | unix.O_NOFOLLOW
	if create {
		flags |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil
	}
	return func() { _ = f.Close() }
}
