package sandbox

import (
	"reflect"

	"github.com/tetratelabs/wazero/api"
)

// mostStack is how large the native stack of a call may become. The runtime would
// let it grow to hundreds of megabytes, by copying it each time while everyone
// else waits for memory. It is as much as programs in C are used to.
const mostStack = 8 << 20

// An instance keeps the native stack of its last call, which grows to a hundred
// megabytes where a guest recurses. One that is larger than maxStack is thrown
// away; maxStackFuel is how much work that takes, roughly, where the size
// cannot be read.
const (
	maxStack     = 1 << 20
	maxStackFuel = 100_000
)

// stackOf gives the field with the stack of a function of the runtime, which has
// no method for it. It is invalid where the runtime has changed.
func stackOf(f api.Function) reflect.Value {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	stack := v.Elem().FieldByName("stack")
	if !stack.IsValid() || stack.Kind() != reflect.Slice {
		return reflect.Value{}
	}
	return stack
}

// overgrown tells that the stack is not worth keeping.
func (i *instance) overgrown() bool {
	if i.stack.IsValid() {
		return i.stack.Len() > maxStack
	}
	return i.meter.spent() > maxStackFuel
}
