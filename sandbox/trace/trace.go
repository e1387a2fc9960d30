// Package trace reads from the errors of the runtime where a guest was.
//
//	what, stack := trace.Cut(err.Error())
//	stack.In()     // "main.(*cart).total", or "" if it is not known
//	stack.String() // one function per line, innermost first
//
// Names come from the module's name section, so the guest chose them: they come
// out as harmless text of bounded length.
package trace

import (
	"regexp"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall/logs"
)

const (
	// maxFrames and maxFrame bound a stack: functions, and bytes of each.
	maxFrames = 20
	maxFrame  = 160
)

// marker separates what happened from where, in the runtime's errors: "wasm
// error: <kind>\nwasm stack trace:\n\t<function>\n\t...".
const marker = "\nwasm stack trace:"

// Stack is the functions that a guest was in, innermost first, each with its
// signature. What Ruedo added to the module is left out.
type Stack []string

// Cut splits the text of a runtime's error into what happened and where. The
// stack is empty if the error has none.
func Cut(text string) (what string, s Stack) {
	what, lines, _ := strings.Cut(text, marker)
	for line := range strings.Lines(lines) {
		line = strings.TrimPrefix(strings.TrimSpace(line), ".")
		if line == "" || strings.HasPrefix(line, wasmbin.ReservedPrefix) {
			continue
		}
		if len(s) == maxFrames {
			return what, append(s, "...")
		}
		s = append(s, logs.Clean(line, maxFrame))
	}
	return what, s
}

// String returns one function per line.
func (s Stack) String() string { return strings.Join(s, "\n") }

// host matches functions of the host.
var host = regexp.MustCompile(`^(ruedo|wasi_snapshot_preview1)\.`)

// signature matches the types of parameters and results behind a name, which
// can itself have parentheses.
var signature = regexp.MustCompile(`\(([a-z0-9]+(,[a-z0-9]+)*)?\)( [a-z0-9]+| \([a-z0-9,]+\))?$`)

// In returns the name of the innermost function that is the guest's own, or ""
// if there is none.
func (s Stack) In() string {
	for _, f := range s {
		if f != "..." && !host.MatchString(f) {
			return signature.ReplaceAllString(f, "")
		}
	}
	return ""
}
