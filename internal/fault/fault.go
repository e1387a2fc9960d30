// Package fault is the one error type of Ruedo, from the reader of modules to
// the CLI. It needs the standard library only, so every room can return it.
//
// A [Reason] is a stable word in capitals (GUEST_TIMEOUT, NO_RUNNER ...). It is
// an error itself, so it serves as the sentinel: errors.Is(err, fault.NoRunner).
// One table ([Reason.Code], [Reason.ExitCode]) turns a reason into the code that
// callers see and the exit code of the CLI; nothing else in the program decides
// that. To add a reason, add its word and its row in reason.go.
//
// Make an error with [New]; say what failed, the limit and the actual value in
// the message, and what to do in [Error.Fix]:
//
//	return fault.New(fault.InputTooLarge, "input of %d bytes is over the limit of %d", n, max).
//		WithFix("send less, or raise input in a decorator")
//
// A fix says what to do ("list the services"). It names no command of the CLI:
// the reader may be a program or a user of the API. The CLI adds its own.
//
// Package faultrpc carries an Error across Connect, gRPC and HTTP.
package fault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// Error is a failure with a stable reason. It is immutable once returned: to
// say more about it, change a copy of the struct.
type Error struct {
	// Reason decides the code; see the table.
	Reason Reason
	// Code overrides the reason's code if a guest chose its own; zero means
	// the table's.
	Code Code
	// Message says what failed, the limit and the actual value. It never holds
	// payloads or secrets.
	Message string
	// Fix says what to do, in one sentence. It can be empty.
	Fix string
	// Fields name what is wrong with an input, field by field.
	Fields []Field
	// Meta is for programs: limit, actual, decorator, started ...
	Meta map[string]string
	// NotStarted is true if the call provably did not begin to execute, so that
	// another runner can be tried.
	NotStarted bool
	// RetryAfter is how long to wait before the same request is sent again, if
	// that was computed. Zero means what the reason says; see
	// [Error.RetryDelay].
	RetryAfter time.Duration
	// Details are further protobuf messages for the wire, for example a
	// *CallInfo; see [Detail]. They must not be changed once the error is
	// returned.
	Details []any
	// Err is the cause. It is for logs and -v, never for the message.
	Err error
}

// Field is one violated field of an input.
type Field struct {
	// Path in the input, for example "user.age" or "items[2]"; "(input)" is the
	// whole.
	Path string
	// Description says what is expected and what was found.
	Description string
}

// New returns an error with a reason and a formatted message.
func New(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Message: sprintf(format, args...)}
}

// Wrap returns an error with a reason that keeps its cause for logs.
func Wrap(err error, r Reason, format string, args ...any) *Error {
	e := New(r, format, args...)
	e.Err = err
	return e
}

// WithFix sets the fix. It returns e.
func (e *Error) WithFix(format string, args ...any) *Error {
	e.Fix = sprintf(format, args...)
	return e
}

// sprintf spares a format that is the text itself its copy: under overload, most
// answers are errors. It is variadic so that vet knows it, and checks the formats of
// its callers' callers.
func sprintf(format string, args ...any) string {
	if len(args) == 0 && strings.IndexByte(format, '%') < 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// WithRetry sets how long to wait before the same request is sent again. It
// returns e.
func (e *Error) WithRetry(after time.Duration) *Error {
	e.RetryAfter = after
	return e
}

// With adds facts for programs: key, value, key, value ... It returns e. Copies
// of e keep the facts that they had.
func (e *Error) With(pairs ...any) *Error {
	meta := make(map[string]string, len(e.Meta)+len(pairs)/2)
	maps.Copy(meta, e.Meta)
	for i := 0; i+1 < len(pairs); i += 2 {
		meta[sprint(pairs[i])] = sprint(pairs[i+1])
	}
	e.Meta = meta
	return e
}

func sprint(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return fmt.Sprint(v)
}

// Error returns only the message: reason and fix have their own fields.
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Reason)
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, reason) true for the error's own reason. A deadline
// or a timeout of a guest is a context.DeadlineExceeded, and a canceled request
// a context.Canceled.
func (e *Error) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Reason == Deadline || e.Reason == GuestTimeout
	case context.Canceled:
		return e.Reason == Canceled
	}
	r, ok := target.(Reason)
	return ok && r == e.Reason
}

// ConnectCode returns the code that callers see.
func (e *Error) ConnectCode() Code {
	if e.Code != 0 {
		return e.Code
	}
	return e.Reason.Code()
}

// FromError returns err as an *Error: err itself, the meaning of a context
// error, or INTERNAL with a message that reveals nothing. Errors of Connect are
// INTERNAL here; faultrpc.FromError reads them.
func FromError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if r, ok := errors.AsType[Reason](err); ok {
		return &Error{Reason: r, Err: err}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Wrap(err, Canceled, "the caller went away")
	case errors.Is(err, context.DeadlineExceeded):
		return Wrap(err, Deadline, "the caller's deadline passed")
	}
	return Wrap(err, Internal, "internal error")
}

// ReasonOf returns the reason of err, or Internal if it has none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	if r, ok := errors.AsType[Reason](err); ok {
		return r
	}
	return Internal
}

// Detail returns the first detail of err that is a T, for example *CallInfo.
func Detail[T any](err error) (t T, ok bool) {
	e, is := errors.AsType[*Error](err)
	if !is {
		return t, false
	}
	for _, d := range e.Details {
		if t, ok = d.(T); ok {
			return t, true
		}
	}
	return t, false
}
