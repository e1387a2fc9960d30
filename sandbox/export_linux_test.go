//go:build amd64 || arm64

package sandbox

import (
	"reflect"
	"unsafe"

	"golang.org/x/sys/unix"
)

// IdleStacks returns how many stacks are not used by any instance. No call is
// in flight.
func (e *Engine) IdleStacks() int { return reflect.ValueOf(&e.stacks).Elem().FieldByName("idle").Len() }

// StacksOfIdle returns, for each idle instance, how many bytes of its stack are
// in memory.
func (t *Template) StacksOfIdle() []int {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	var sizes []int
	for _, i := range t.pool.idle {
		usable := reflect.ValueOf(i.own).Elem().FieldByName("usable").Bytes()
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

// OwnStack reports whether the function of the idle instance runs on a stack of its
// own.
func (t *Template) OwnStack() bool {
	i := t.pool.get()
	defer t.pool.put(i)
	space := reflect.ValueOf(i.stack).FieldByName("space")
	own := reflect.ValueOf(i.own).Elem().FieldByName("space")
	return !space.IsNil() && space.Elem().Len() > 0 && &space.Elem().Bytes()[0] == &own.Bytes()[0]
}

// Retained returns how many bytes idle instances retain.
func (e *Engine) Retained() int64 { return e.retained.Load() }
