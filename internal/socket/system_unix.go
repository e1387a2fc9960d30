//go:build linux || darwin || freebsd

package socket

import (
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// supported says that the system tells who connects.
const supported = true

// longest is the length of the longest path of a socket, without the zero at its end.
const longest = len(syscall.RawSockaddrUnix{}.Path) - 1

// owner returns the uid of a file's owner.
func owner(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// peer returns the uid of the process at the other end of a connection.
func peer(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	uid = -1
	var asked error
	err = raw.Control(func(fd uintptr) { uid, asked = peerOf(int(fd)) })
	if err == nil {
		err = asked
	}
	return uid, err
}

// lock locks a file or a directory until it is closed. It does not wait.
func lock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
