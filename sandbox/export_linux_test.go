//go:build amd64 || arm64

package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// KeepStack and MostStack bound a stack between calls and in one.
const (
	KeepStack = keepStack
	MostStack = mostStack
)

// IdleStacks gives how many bytes of each idle stack are in memory.
func (e *Engine) IdleStacks() []int {
	e.stacks.mu.Lock()
	defer e.stacks.mu.Unlock()
	var sizes []int
	for _, s := range e.stacks.idle {
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

// IdleMemory is how many bytes instances keep that wait.
func (e *Engine) IdleMemory() int64 { return e.idle.Load() }
