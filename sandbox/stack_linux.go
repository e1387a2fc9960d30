//go:build amd64 || arm64

package sandbox

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// ceiling is the size from which on the runtime refuses to let a stack grow
	// and says that it overflowed. All of it that lies below mostStack is only
	// addresses.
	ceiling = 50_000_000
	// slack is there for what compiled code does without asking for room.
	slack = 64 << 10
	// reserved is in whole pages of every size.
	reserved = (ceiling/slack+1)*slack + slack + mostStack
)

// stack is a native stack for one call at a time.
type stack struct {
	space  []byte
	top    uintptr
	bottom *byte
	deep   []byte // the part that is not kept
}

// lends says that calls are lent stacks.
const lends = true

func newStack() (*stack, error) {
	p, err := unix.MmapPtr(-1, 0, nil, reserved, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	s := &stack{space: unsafe.Slice((*byte)(p), reserved)}
	usable := s.space[reserved-mostStack-slack:]
	if err := unix.Mprotect(usable, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		s.free()
		return nil, os.NewSyscallError("mprotect", err)
	}
	// A huge page would be all of it at once. Kernels without them refuse.
	_ = unix.Madvise(usable, unix.MADV_NOHUGEPAGE)
	s.bottom = &usable[slack]
	s.top = uintptr(unsafe.Pointer(&usable[len(usable)-1])) &^ 15
	s.deep = usable[:len(usable)-keepStack]
	return s, nil
}

// trim gives the memory of all but the last keepStack bytes back to the system.
func (s *stack) trim() { _ = unix.Madvise(s.deep, unix.MADV_DONTNEED) }

func (s *stack) free() { _ = unix.MunmapPtr(unsafe.Pointer(&s.space[0]), reserved) }
