package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// Reasons of an [Error], besides those of internal/wasmbin that Load passes on.
const (
	// ReasonTimeout: the call took longer than its limit or its caller's
	// deadline.
	ReasonTimeout = "GUEST_TIMEOUT"
	// ReasonMemory: the guest wanted more memory than its limit or its own maximum,
	// and failed, trapped or exited after that.
	ReasonMemory = "GUEST_MEMORY"
	// ReasonTrap: the guest did what WebAssembly forbids.
	ReasonTrap = "GUEST_TRAP"
	// ReasonExit: a command exited with a code other than 0, or a function exited
	// at all: it answers by returning.
	ReasonExit = "GUEST_EXIT"
	// ReasonError: the guest said that the call failed.
	ReasonError = "GUEST_ERROR"
	// ReasonOutputLimit: the output is over its limit.
	ReasonOutputLimit = "GUEST_OUTPUT_LIMIT"
	// ReasonCPU: the call used more processor time than its limit.
	ReasonCPU = "GUEST_CPU"
	// ReasonFuel: the call did more work than its limit.
	ReasonFuel = "GUEST_FUEL"
	// ReasonHostCalls: the call asked the host more often than it may.
	ReasonHostCalls = "HOST_CALL_LIMIT"
	// ReasonInputTooLarge: the input is over its limit; nothing was run.
	ReasonInputTooLarge = "INPUT_TOO_LARGE"
	// ReasonCompile: the module is well-formed but not valid.
	ReasonCompile = "COMPILE_FAILED"
	// ReasonCanceled: the caller gave up, during the call or before it.
	ReasonCanceled = "CANCELED"
	// ReasonSpec: the environment or the arguments cannot be given to a guest.
	ReasonSpec = "REQUEST_INVALID"
	// ReasonDisk: the module cannot be compiled because the disk is full, read-only
	// or gone. It is worth trying again, or elsewhere.
	ReasonDisk = "RUNNER_DISK"
	// ReasonInternal: a fault of this program, not of the guest.
	ReasonInternal = "INTERNAL"
)

var _ error = (*Error)(nil)

// ErrClosed is the cause where a template or an engine was closed before.
var ErrClosed = errors.New("the sandbox is closed")

// Error is why a module could not be loaded or a call failed.
type Error struct {
	// Reason is one of the Reason constants, here or in internal/wasmbin.
	Reason string
	// Code is the Connect code that the guest chose (1 to 16), for ReasonError;
	// 0 otherwise.
	Code uint32
	// Message says what failed, with limit and actual value.
	Message string
	// Fix says what to do. May be empty.
	Fix string
	// Meta are facts for programs: limit, actual, exit_code, kind, in, trace.
	Meta map[string]string
	// Err is the cause, for logs. May be nil.
	Err error
}

// Error gives the message alone.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes a timeout a context.DeadlineExceeded and a canceled call a
// context.Canceled.
func (e *Error) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Reason == ReasonTimeout
	case context.Canceled:
		return e.Reason == ReasonCanceled
	}
	return false
}

func newError(reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) fix(format string, args ...any) *Error {
	e.Fix = fmt.Sprintf(format, args...)
	return e
}

func (e *Error) cause(err error) *Error {
	e.Err = err
	return e
}

// with adds facts for programs: key, value, key, value ...
func (e *Error) with(pairs ...any) *Error {
	m := maps.Clone(e.Meta)
	if m == nil {
		m = make(map[string]string, len(pairs)/2)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = fmt.Sprint(pairs[i+1])
	}
	e.Meta = m
	return e
}

// admission turns a refusal by structure into an Error.
func admission(err error) *Error {
	w, ok := errors.AsType[*wasmbin.Error](err)
	if !ok {
		return newError(ReasonInternal, "the module could not be checked").cause(err)
	}
	e := &Error{Reason: w.Reason, Message: w.Message, Fix: w.Fix, Err: err}
	if w.Offset >= 0 {
		e.with("offset", strconv.FormatInt(w.Offset, 10))
	}
	return e
}

func closedError(what string) *Error {
	return newError(ReasonInternal, "the %s is closed", what).cause(ErrClosed)
}
