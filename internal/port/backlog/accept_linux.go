package backlog

import (
	"iter"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Accept accepts the connections that wait now, and does not wait for more. It ends at
// the first error: the listener is about to be closed.
func Accept(l *net.TCPListener) iter.Seq[net.Conn] {
	return func(yield func(net.Conn) bool) {
		raw, err := l.SyscallConn()
		if err != nil {
			return
		}
		for {
			var fd int
			var failed error
			err := raw.Control(func(listening uintptr) {
				fd, _, failed = unix.Accept4(int(listening), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			})
			switch {
			case err == nil && (failed == unix.EINTR || failed == unix.ECONNABORTED):
				continue
			case err != nil || failed != nil:
				return
			}
			f := os.NewFile(uintptr(fd), "")
			c, err := net.FileConn(f) // of its own descriptor
			_ = f.Close()
			if err != nil || !yield(c) {
				return
			}
		}
	}
}
