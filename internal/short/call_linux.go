//go:build !race

package short

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func read(fd int, p []byte) (int, error) { return call(unix.SYS_READ, fd, p) }

func write(fd int, p []byte) (int, error) { return call(unix.SYS_WRITE, fd, p) }

func call(trap uintptr, fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
