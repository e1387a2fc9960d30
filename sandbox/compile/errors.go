package compile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Reasons of an [Error].
const (
	// ReasonTimeout: the compiler needed longer than its limit of wall clock or
	// CPU time.
	ReasonTimeout = "COMPILE_TIMEOUT"
	// ReasonMemory: the compiler needed more memory than its limit.
	ReasonMemory = "COMPILE_MEMORY"
	// ReasonFailed: the module is not valid, or the compiler cannot cope with it.
	ReasonFailed = "COMPILE_FAILED"
	// ReasonCanceled: the caller gave up.
	ReasonCanceled = "CANCELED"
	// ReasonDisk: the machine's disk is full, read-only or gone. It is worth trying
	// again, or elsewhere.
	ReasonDisk = "RUNNER_DISK"
	// ReasonInternal: a fault of this program or its machine, not of the module.
	ReasonInternal = "INTERNAL"
)

// ErrClosed is the cause where the compiler was closed before.
var ErrClosed = errors.New("the compiler is closed")

var _ error = (*Error)(nil)

// Error is why a module could not be compiled.
type Error struct {
	// Reason is one of the Reason constants.
	Reason string
	// Message says what failed, with limit and actual value.
	Message string
	// Fix says what to do. May be empty.
	Fix string
	// Err is the cause, for logs: a context's error where the caller gave up. May
	// be nil.
	Err error
}

// Error gives the message alone.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func newError(reason, fix, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...), Fix: fix}
}

// internal makes an error for a fault of the host. Its text must not tell paths or
// what the system said: that is for err, which is logged.
func internal(err error, format string, args ...any) *Error {
	return &Error{Reason: ReasonInternal, Message: fmt.Sprintf(format, args...), Err: err}
}

func canceled(ctx context.Context) *Error {
	return &Error{Reason: ReasonCanceled, Message: "nobody waits for the module to be compiled any more", Err: context.Cause(ctx)}
}

func closedError() *Error { return internal(ErrClosed, "%s", ErrClosed.Error()) }

// What to do about a module that takes too much to compile.
const (
	fixSmaller = "make its functions smaller: split generated code and large switches, and build with optimisation; or raise the limit of the runner"
	fixValid   = "build it for WebAssembly 2.0 (wasip1), without proposals such as threads, garbage collection or exceptions"
)

// maxText bounds what is repeated of a compiler's words, in bytes.
const maxText = 400

// clean makes text fit for one line of a log or a terminal: no control
// characters, nothing that reorders it, bounded.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
