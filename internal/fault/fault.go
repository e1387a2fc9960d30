// Package fault is the one error type that leaves Ruedo.
//
// A [Reason] is a stable word in capitals (GUEST_TIMEOUT, NO_RUNNER ...). It is
// an error itself, so it serves as the sentinel: errors.Is(err, fault.NoRunner).
// One table ([Reason.Code], [Reason.ExitCode]) turns a reason into a Connect
// code and a CLI exit code; nothing else in the program decides that.
//
// Make an error with [New]; say what failed, the limit and the actual value in
// the message, and what to do in [Error.Fix]:
//
//	return fault.New(fault.InputTooLarge, "input of %d bytes is over the limit of %d", n, max).
//		WithFix("send less, or raise input_bytes in a decorator")
//
// [Wire] and [From] carry it across Connect, gRPC and HTTP as google.rpc
// ErrorInfo and BadRequest details and back, so that the CLI on one side sees
// what the core on the other side said.
package fault

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"
)

// Error is a failure with a stable reason. It is immutable once returned.
type Error struct {
	// Reason decides the code; see the table.
	Reason Reason
	// Code overrides the reason's code where a guest chose its own; zero means
	// the table's.
	Code connect.Code
	// Message says what failed, the limit and the actual value. It never holds
	// payloads or secrets.
	Message string
	// Fix says what to do, as one sentence or one command. May be empty.
	Fix string
	// Fields name what is wrong with an input, field by field.
	Fields []Field
	// Meta is for programs: limit, actual, decorator, started ...
	Meta map[string]string
	// NotStarted is true where the call provably did not begin to execute, so
	// that another runner may be asked.
	NotStarted bool
	// Details are further protobuf messages for the wire, for example CallInfo.
	Details []*connect.ErrorDetail
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

// New makes an error of a reason with a formatted message.
func New(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of a reason that keeps its cause for logs.
func Wrap(err error, r Reason, format string, args ...any) *Error {
	e := New(r, format, args...)
	e.Err = err
	return e
}

// WithFix adds what to do about it.
func (e *Error) WithFix(format string, args ...any) *Error {
	e.Fix = fmt.Sprintf(format, args...)
	return e
}

// With adds a fact for programs.
func (e *Error) With(key, value string) *Error {
	if e.Meta == nil {
		e.Meta = make(map[string]string)
	}
	e.Meta[key] = value
	return e
}

// Error gives the message alone: reason and fix have their own places.
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Reason)
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, reason) true for the error's own reason.
func (e *Error) Is(target error) bool {
	r, ok := target.(Reason)
	return ok && r == e.Reason
}

// ConnectCode is the code that callers see.
func (e *Error) ConnectCode() connect.Code {
	if e.Code != 0 {
		return e.Code
	}
	return e.Reason.Code()
}

// ReasonOf gives the reason of err, or Internal where it has none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	if r, ok := errors.AsType[Reason](err); ok {
		return r
	}
	return Internal
}
