// Package stack gives guests native stacks outside of Go's heap.
//
//	own, err := pool.Get(stack.Default)
//	f := stack.Of(function)
//	f.Use(own) // function runs on it from its next call on
//	own.Trim()
//	pool.Put(own)
//
// The runtime gives each function a native stack of 10 KiB on Go's heap and
// doubles it, by copying, up to a hundred megabytes: while a guest recurses,
// everyone else waits for memory and for the garbage collector. Instead, each
// instance borrows a fixed-size native stack outside of the Go heap. Its pages are
// committed on first use, and running past its end is a stack overflow. See "Why does
// a call run on a stack of ours?" in docs/RATIONALE.md.
//
// A [Pool] is safe for concurrent use; a [Stack] and a [Function] are used by one
// goroutine at a time.
package stack

import (
	"reflect"
	"slices"
	"sync"
	"unsafe"

	"github.com/tetratelabs/wazero/api"
)

const (
	// Default is how large the native stack of a call can become, in bytes, unless
	// its limit says otherwise. An interpreter takes some 11 KiB for each call of a
	// function that it interprets.
	Default = 32 << 20
	// Min and Max bound the size of a stack.
	Min = 256 << 10
	Max = 256 << 20
	// MaxRetained is how many bytes of a stack stay in memory after Trim.
	MaxRetained = 256 << 10
	// MaxIdle is how many stacks a pool retains.
	MaxIdle = 64

	unit = 64 << 10 // in whole pages of every system
)

// Pool retains stacks that no instance uses. The zero value is ready to use.
type Pool struct {
	mu   sync.Mutex
	idle []*Stack
}

// Get returns a stack of a size in bytes, rounded up to a multiple of 64 KiB, from
// Min to Max; or nil if functions run on the stacks of the runtime here.
func (p *Pool) Get(size int) (*Stack, error) {
	size = (min(max(size, Min), Max) + unit - 1) / unit * unit
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range slices.Backward(p.idle) {
		if s.size == size {
			p.idle = slices.Delete(p.idle, i, i+1)
			return s, nil
		}
	}
	return newStack(size)
}

// Put takes a stack back that was trimmed. It ignores nil. If there is no room, it
// frees the stack that was used least recently.
func (p *Pool) Put(s *Stack) {
	if s == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == MaxIdle {
		p.idle[0].free()
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	p.idle = append(p.idle, s)
}

// Close frees all stacks of the pool. None must be in use.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.idle {
		s.free()
	}
	p.idle = nil
}

// Function is where a function of the runtime stores its stack. There is no
// method for it, so it is found by name and type; a test of package sandbox
// fails if it is not found. The zero value means that the runtime is a
// different one.
type Function struct {
	space  *[]byte
	top    *uintptr // where it begins; it grows downwards
	bottom **byte   // the limit of its growth
}

// Of finds the stack of a function.
func Of(f api.Function) Function {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return Function{}
	}
	space, top, context := v.Elem().FieldByName("stack"), v.Elem().FieldByName("stackTop"), v.Elem().FieldByName("execCtx")
	if !space.IsValid() || space.Type() != reflect.TypeFor[[]byte]() ||
		!top.IsValid() || top.Kind() != reflect.Uintptr ||
		!context.IsValid() || context.Kind() != reflect.Struct {
		return Function{}
	}
	bottom := context.FieldByName("stackBottomPtr")
	if !bottom.IsValid() || bottom.Type() != reflect.TypeFor[*byte]() {
		return Function{}
	}
	s := Function{
		space:  (*[]byte)(unsafe.Pointer(space.UnsafeAddr())),
		top:    (*uintptr)(unsafe.Pointer(top.UnsafeAddr())),
		bottom: (**byte)(unsafe.Pointer(bottom.UnsafeAddr())),
	}
	first, last := unsafe.SliceData(*s.space), uintptr(unsafe.Pointer(&(*s.space)[len(*s.space)-1]))
	if *s.bottom != first || *s.top != last&^15 {
		return Function{} // the fields mean something else
	}
	return s
}

// Use makes the function run on a stack from its next call on. It ignores nil.
func (f Function) Use(s *Stack) {
	if f.space != nil && s != nil {
		*f.space, *f.top, *f.bottom = s.space, s.top, s.bottom
	}
}

// HeapSize returns how many bytes of Go's heap the runtime has made the function's
// stack; 0 if it runs on one of a pool.
func (f Function) HeapSize() int {
	if f.space == nil || ownStacks {
		return 0
	}
	return len(*f.space)
}
