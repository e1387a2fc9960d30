// Package trap reads the errors with which the runtime ends a guest. Their kinds
// are not exported, so their text is taken apart:
//
//	wasm error: <kind>
//	wasm stack trace:
//		<function>
//		...
//
//	t := trap.Read(err)
//	if t.Kind == trap.StackOverflow { ... }
//
// A guest chooses the names of its functions: what is returned is harmless text.
package trap

import (
	"strings"

	"github.com/ruedo-dev/ruedo/sandbox/hostcall"
)

// StackOverflow is the kind of a trap of a guest that used up its stack.
const StackOverflow = "stack overflow"

// maxFrames bounds a trace.
const maxFrames = 20

// Trap is an error of the runtime.
type Trap struct {
	// Kind is what happened, for example "unreachable" or [StackOverflow].
	Kind string
	// Frames are the innermost functions, one per line; "" if none are known.
	Frames string
	// OfHost reports whether a host function panicked.
	OfHost bool
	// OfGuest reports whether the guest's code ran into it. Otherwise the runtime
	// refused to set the guest up.
	OfGuest bool
}

// Read takes an error apart.
func Read(err error) Trap {
	all := err.Error()
	kind, trace, _ := strings.Cut(all, "\nwasm stack trace:")
	t := Trap{
		Frames: frames(trace),
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
	t.Kind = hostcall.Clean(kind, 200)
	return t
}

// frames returns the innermost functions of a trace.
func frames(trace string) string {
	var out []string
	for line := range strings.Lines(trace) {
		line = strings.TrimPrefix(strings.TrimSpace(line), ".")
		if line == "" {
			continue
		}
		if len(out) == maxFrames {
			out = append(out, "...")
			break
		}
		out = append(out, hostcall.Clean(line, 160))
	}
	return strings.Join(out, "\n")
}
