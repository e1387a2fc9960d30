//go:build amd64 || arm64

package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// KeepStack bounds a stack between calls, KeepStacks those that nobody has.
const (
	KeepStack  = keepStack
	KeepStacks = keepStacks
)

// IdleStacks is how many stacks no instance has.
func (e *Engine) IdleStacks() int {
	e.stacks.mu.Lock()
	defer e.stacks.mu.Unlock()
	return len(e.stacks.idle)
}

// StacksOfIdle gives how many bytes of the stack of each instance that waits are
// in memory.
func (t *Template) StacksOfIdle() []int {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	var sizes []int
	for _, i := range t.pool.idle {
		s := i.lent
		usable := s.space[reserved-mostStack-slack:]
		pages := make([]byte, len(usable)/unix.Getpagesize())
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&usable[0])), uintptr(len(usable)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
			panic(errno)
		}
		size := 0
		for _, p := range pages {
			size += int(p&1) * unix.Getpagesize()
		}
		sizes = append(sizes, size)
	}
	return sizes
}

// Lent tells whether the instance that waits last ran on a stack that was lent.
func (t *Template) Lent() bool {
	i := t.pool.take()
	defer t.pool.put(i)
	return i.stack.space != nil && len(*i.stack.space) == reserved
}

// Kept is how many bytes instances keep.
func (e *Engine) Kept() int64 { return e.kept.Load() }
