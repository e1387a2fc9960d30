package front

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// peer returns a function that reports whether the peer of a connection has closed its
// end, even if what it has sent was not read. It is nil if that cannot be known.
func peer(nc net.Conn) (gone func() bool) {
	for {
		below, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = below.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return func() (closed bool) {
		err := raw.Control(func(fd uintptr) {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
			n, err := unix.Poll(fds, 0)
			closed = err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
		})
		return err != nil || closed
	}
}
