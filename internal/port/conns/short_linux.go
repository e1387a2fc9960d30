package conns

import (
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// most is how many bytes one system call of a [Short] moves at most.
const most = 16 << 10

// Short reads and writes a little at a time over a connection, with system calls that
// the scheduler of Go does not know of. One that it knows of wakes its monitor thread if the
// process was idle, which costs several times as much as the call itself. A socket
// that does not block is done with so few bytes in microseconds, so there is nothing to
// monitor. What is done between two of them is not monitored either: nobody preempts it,
// and nobody polls the network for others while it takes all processors.
//
// Do not read from several goroutines at the same time, nor write.
type Short struct{ in, out transfer }

// ShortOf returns how to move a little over a connection; nil if that is not possible.
func ShortOf(nc net.Conn) *Short {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	s := &Short{in: transfer{when: raw.Read, trap: unix.SYS_READ}, out: transfer{when: raw.Write, trap: unix.SYS_WRITE}}
	s.in.ready, s.out.ready = s.in.once, s.out.once
	return s
}

// Read reads what has arrived, or waits for it, until the connection's deadline.
func (s *Short) Read(p []byte) (int, error) {
	n, err := s.in.do(p[:min(len(p), most)])
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write writes p.
func (s *Short) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		var m int
		m, err = s.out.do(p[:min(len(p), most)])
		n, p = n+m, p[m:]
	}
	return n, err
}

// transfer is one direction of a Short.
type transfer struct {
	when  func(func(fd uintptr) bool) error // the socket is ready
	ready func(fd uintptr) bool             // t.once, allocated once
	trap  uintptr
	p     []byte
	n     int
	errno syscall.Errno
}

// do moves some of p.
func (t *transfer) do(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.p, t.n, t.errno = p, 0, 0
	err := t.when(t.ready)
	t.p = nil
	if err == nil && t.errno != 0 {
		err = t.errno
	}
	return t.n, err
}

// once makes the system call. It reports false if the socket was not ready.
func (t *transfer) once(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall(t.trap, fd, uintptr(unsafe.Pointer(&t.p[0])), uintptr(len(t.p)))
		switch errno {
		case 0:
			t.n = int(n)
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			t.errno = errno
			return true
		}
	}
}
