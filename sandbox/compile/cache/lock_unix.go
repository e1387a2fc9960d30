//go:build linux || darwin

package cache

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// locks reports whether this system has locks and modes of files.
const locks = true

// lock takes a lock that ends with this process at the latest. With wait it
// creates the file and waits for the lock. Without, the file must exist, and
// unlock is nil if another process has the lock.
func lock(path string, wait bool) (unlock func() error, err error) {
	flags, how := os.O_RDWR|unix.O_NOFOLLOW, unix.LOCK_EX|unix.LOCK_NB
	if wait {
		flags, how = flags|os.O_CREATE, unix.LOCK_EX
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return f.Close, nil
}

// openRegular opens a file for reading if it is a regular file: a pipe would
// block, and a link would lead elsewhere.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return nil, nil, errIrregular
	} else if err != nil {
		return nil, nil, err
	}
	return checkRegular(f)
}

// owned reports whether a file belongs to this user.
func owned(st os.FileInfo) bool {
	s, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

// sameDisk reports whether two directories are on the same file system.
func sameDisk(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Stat(a, &x) == nil && unix.Stat(b, &y) == nil && x.Dev == y.Dev
}
