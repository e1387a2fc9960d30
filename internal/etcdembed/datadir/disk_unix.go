//go:build linux || darwin

package datadir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// freeSpace returns how many bytes an ordinary user can still write to the disk
// of a directory.
func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// locked reports whether a database has the lock of an etcd that uses it.
func locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // and release the lock, if it was taken
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// writeAccess returns an error if this process cannot write to a directory.
func writeAccess(dir string) error { return unix.Access(dir, unix.W_OK) }
