// Package trap reads the errors with which the runtime ends a guest. Their kinds
// are not exported, so their text is taken apart:
//
//	wasm error: <kind>
//	wasm stack trace: ...
//
//	t := trap.Read(err)
//	if t.Kind == trap.StackOverflow { ... }
//
// A guest chooses the names of its functions: what is returned is harmless text.
package trap

import (
	"strings"

	"github.com/ruedo-dev/ruedo/sandbox/hostcall/logs"
	"github.com/ruedo-dev/ruedo/sandbox/trace"
)

// StackOverflow is the kind of a trap of a guest that used up its stack.
const StackOverflow = "stack overflow"

// Trap is an error of the runtime.
type Trap struct {
	// Kind is what happened, for example "unreachable" or [StackOverflow].
	Kind string
	// Stack is where the guest was; empty if that is not known.
	Stack trace.Stack
	// OfHost reports whether a host function panicked.
	OfHost bool
	// OfGuest reports whether the guest's code ran into it. Otherwise the runtime
	// refused to set the guest up.
	OfGuest bool
}

// Read takes an error apart.
func Read(err error) Trap {
	all := err.Error()
	kind, stack := trace.Cut(all)
	t := Trap{
		Stack: stack,
		// The rest are names that the guest chose.
		OfHost:  strings.HasSuffix(kind, "(recovered by wazero)"),
		OfGuest: strings.Contains(all, "wasm error: ") || strings.HasSuffix(all, StackOverflow),
	}
	if k := strings.LastIndex(kind, "wasm error: "); k >= 0 {
		kind = kind[k+len("wasm error: "):]
	}
	if strings.HasSuffix(kind, StackOverflow) {
		kind = StackOverflow
	}
	t.Kind = logs.Clean(kind, 200)
	return t
}
