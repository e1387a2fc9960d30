package revoke

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Files makes every open file of this process below dir refer to the null
// device. What is left of a failed etcd then holds none of its file locks, and
// can never write to the files that the next one uses.
func Files(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	const open = "/proc/self/fd"
	entries, err := os.ReadDir(open)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no /proc: the next etcd cannot start if it needs a lock
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path, err := os.Readlink(filepath.Join(open, e.Name()))
		if err != nil || !strings.HasPrefix(path, dir+string(filepath.Separator)) && path != dir {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if err := replace(fd, int(null.Fd())); err != nil {
			return err
		}
	}
	return nil
}

// replace makes fd refer to what null refers to. It then releases the lock that a
// memory mapping of the file would keep.
func replace(fd, null int) error {
	old, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(old) }()
	if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
		return err
	}
	_ = unix.Flock(old, unix.LOCK_UN) // a directory has none
	return nil
}
