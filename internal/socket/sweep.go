package socket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// lockTimeout bounds how long Listen waits for others that open a socket in the same
	// directory, and lockPause is the time between two attempts.
	lockTimeout = 2 * time.Second
	lockPause   = 2 * time.Millisecond
	// maxSwept bounds how many files of a directory are looked at.
	maxSwept = 1024
)

// alone locks a directory until release is called. Between its making and its first
// listening, a socket looks as one that nobody listens on, so cores open theirs, and
// remove those of others, one after the other. It returns nil if that takes too long, or
// the directory cannot be locked.
func alone(dir string) (release func()) {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	for end := time.Now().Add(lockTimeout); ; time.Sleep(lockPause) {
		err := lock(f)
		if err == nil {
			return func() { _ = f.Close() }
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(end) {
			_ = f.Close()
			return nil
		}
	}
}

// sweep removes the sockets of other ports in a directory of cores that were killed, and
// returns their names. The caller is alone in it.
func sweep(dir string) (removed []string) {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	list, _ := d.Readdirnames(maxSwept) // what cannot be listed stays
	for _, file := range list {
		path := filepath.Join(dir, file)
		if isName(file) && left(path) && os.Remove(path) == nil {
			removed = append(removed, file)
		}
	}
	return removed
}

// left reports whether a file is a socket of this user that nobody listens on.
func left(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket || !mine(info) {
		return false
	}
	c, err := net.DialTimeout("unix", path, findTimeout)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// isName reports whether this is the name of the socket of a core.
func isName(file string) bool {
	digits, ok := strings.CutPrefix(file, "core-")
	digits, isSocket := strings.CutSuffix(digits, ".sock")
	port, err := strconv.ParseUint(digits, 10, 16)
	return ok && isSocket && err == nil && name(int(port)) == file
}
