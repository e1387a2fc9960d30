//go:build amd64 || arm64

package stack

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// ceiling is the size from which on the runtime refuses to let a stack grow
	// and reports an overflow. All of it is only addresses, below the stack itself.
	ceiling = (50_000_000/unit + 1) * unit
	// slack is for what compiled code does without checking for room.
	slack = unit
)

// Stack is a native stack for one call at a time.
type Stack struct {
	size   int
	space  []byte
	top    uintptr
	bottom *byte
	usable []byte // the part that is not only addresses
}

// ownStacks reports whether functions run on stacks of a pool.
const ownStacks = true

func newStack(size int) (*Stack, error) {
	reserved := uintptr(ceiling + slack + size)
	p, err := unix.MmapPtr(-1, 0, nil, reserved, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	s := &Stack{size: size, space: unsafe.Slice((*byte)(p), reserved)}
	s.usable = s.space[ceiling:]
	if err := unix.Mprotect(s.usable, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		s.free()
		return nil, os.NewSyscallError("mprotect", err)
	}
	// A huge page would commit all of it at the same time. Kernels without them
	// refuse.
	_ = unix.Madvise(s.usable, unix.MADV_NOHUGEPAGE)
	s.bottom = &s.usable[slack]
	s.top = uintptr(unsafe.Pointer(&s.usable[len(s.usable)-1])) &^ 15
	return s, nil
}

// Trim returns the memory of all but the last MaxRetained bytes to the system.
func (s *Stack) Trim() {
	_ = unix.Madvise(s.usable[:len(s.usable)-MaxRetained], unix.MADV_DONTNEED)
}

func (s *Stack) free() { _ = unix.MunmapPtr(unsafe.Pointer(&s.space[0]), uintptr(len(s.space))) }
