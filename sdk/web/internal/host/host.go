// Package host is what a module has of the machine around it: the functions of the
// guest contract, streams of bytes, and heads.
package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/ruedo-dev/ruedo/internal/abi"
)

// Host is what the machine around a module does for it: the functions of the
// guest contract, with slices in place of pointers. Negative results are the
// numbers of internal/abi.
type Host interface {
	HeadRead(p []byte) int32
	HeadWrite(head []byte) int32
	InputSize() int64
	InputRead(p []byte) int32
	OutputWrite(p []byte) int32
	OutputFlush() int32
	TrailersWrite(trailers []byte) int32
	Fail(code uint32, message string)

	BodyOpen() int32
	StreamOpen(head []byte) int32
	StreamHead(fd uintptr, part uint32, p []byte) int32

	// File returns a file for a descriptor, whose reads and writes do not block
	// the module.
	File(fd int32, name string) (*os.File, error)
	// CloseSide ends one direction of a descriptor: reading or writing.
	CloseSide(fd uintptr, side int) error
}

// Sides of a stream, as syscall.Shutdown numbers them in a module.
const (
	ReadSide  = 1
	WriteSide = 2
)

// Errors of host functions that callers tell apart.
var (
	ErrLimit = errors.New("over a limit of the call")
	ErrState = errors.New("not possible now")
)

// Error returns the error for the result of a host function.
func Error(n int32) error {
	switch n {
	case abi.ErrLimit:
		return ErrLimit
	case abi.ErrState:
		return ErrState
	case abi.ErrInvalid:
		return errors.New("malformed")
	case abi.ErrBroken:
		return syscall.EPIPE
	}
	return fmt.Errorf("the host answered %d", n)
}

// ReadAll reads to the end with one of the host's read functions. It appends to b, whose
// capacity should be more than what is expected.
func ReadAll(read func([]byte) int32, b []byte) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n := read(b[len(b):cap(b)])
		if n < 0 {
			return nil, Error(n)
		}
		if n == 0 {
			return b, nil
		}
		b = b[:len(b)+int(n)]
	}
}

// WriteAll writes p with the host's output_write, which can take less than it
// is offered.
func WriteAll(h Host, p []byte) error {
	for len(p) > 0 {
		n := h.OutputWrite(p)
		if n < 0 {
			return Error(n)
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		p = p[n:]
	}
	return nil
}
