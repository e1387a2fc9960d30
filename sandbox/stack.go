package sandbox

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/tetratelabs/wazero/api"
)

// The runtime gives each function a native stack of 10 KiB on Go's heap and
// doubles it, by copying, up to a hundred megabytes: a guest that recurses has
// everyone else wait for memory and for the garbage collector. So an instance is
// lent a stack for its calls: addresses outside of the heap, whose pages come as
// they are touched, and whose end is the end.

const (
	// mostStack is how large the native stack of a call may become. It is as much
	// as programs in C are used to.
	mostStack = 8 << 20
	// keepStack is how much of it stays in memory for the next call.
	keepStack = 256 << 10
	// keepStacks is how many stacks wait for the next instance.
	keepStacks = 64
	// keepGrown is how large a stack of the runtime may be that stays for the next
	// call, where none are lent.
	keepGrown = 1 << 20
)

// stacks are lent to instances.
type stacks struct {
	mu   sync.Mutex
	idle []*stack
}

// take gives a stack; nil where calls run on those of the runtime.
func (s *stacks) take() (*stack, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle)
	if n == 0 {
		return newStack()
	}
	last := s.idle[n-1]
	s.idle = s.idle[:n-1]
	return last, nil
}

// put takes a stack back that was trimmed; nil is nothing.
func (s *stacks) put(back *stack) {
	if back == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == keepStacks {
		back.free()
		return
	}
	s.idle = append(s.idle, back)
}

// close frees them all. There are no instances any more.
func (s *stacks) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, idle := range s.idle {
		idle.free()
	}
	s.idle = nil
}

// stackOf is where a function of the runtime keeps its stack. There is no method
// for it, so it is found by name and type; see [TestStacksAreLent]. The zero
// value means that the runtime is another.
type stackOf struct {
	space  *[]byte
	top    *uintptr // where it begins: it grows downwards
	bottom **byte   // what it must not grow below
}

func newStackOf(f api.Function) stackOf {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return stackOf{}
	}
	space, top, context := v.Elem().FieldByName("stack"), v.Elem().FieldByName("stackTop"), v.Elem().FieldByName("execCtx")
	if !space.IsValid() || space.Type() != reflect.TypeFor[[]byte]() ||
		!top.IsValid() || top.Kind() != reflect.Uintptr ||
		!context.IsValid() || context.Kind() != reflect.Struct {
		return stackOf{}
	}
	bottom := context.FieldByName("stackBottomPtr")
	if !bottom.IsValid() || bottom.Type() != reflect.TypeFor[*byte]() {
		return stackOf{}
	}
	s := stackOf{
		space:  (*[]byte)(unsafe.Pointer(space.UnsafeAddr())),
		top:    (*uintptr)(unsafe.Pointer(top.UnsafeAddr())),
		bottom: (**byte)(unsafe.Pointer(bottom.UnsafeAddr())),
	}
	first, last := unsafe.SliceData(*s.space), uintptr(unsafe.Pointer(&(*s.space)[len(*s.space)-1]))
	if *s.bottom != first || *s.top != last&^15 {
		return stackOf{} // they mean something else
	}
	return s
}

// lend has the function run on a stack from its next call on.
func (s stackOf) lend(lent *stack) {
	if s.space != nil && lent != nil {
		*s.space, *s.top, *s.bottom = lent.space, lent.top, lent.bottom
	}
}

// grown is how large the runtime has made the stack of a function that is lent
// none.
func (s stackOf) grown() int {
	if s.space == nil || lends {
		return 0
	}
	return len(*s.space)
}
