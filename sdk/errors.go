package sdk

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Code is the kind of failure of an error. Names and numbers are those of
// Connect and gRPC.
type Code uint32

// The codes, and when to use each.
const (
	// Canceled: the caller gave up.
	Canceled Code = 1
	// Unknown: nothing better fits.
	Unknown Code = 2
	// InvalidArgument: the input is wrong, whatever the state of the system.
	InvalidArgument Code = 3
	// DeadlineExceeded: there was not enough time.
	DeadlineExceeded Code = 4
	// NotFound: what was requested does not exist.
	NotFound Code = 5
	// AlreadyExists: what was to be created already exists.
	AlreadyExists Code = 6
	// PermissionDenied: this caller may not do that.
	PermissionDenied Code = 7
	// ResourceExhausted: a limit or a quota is used up.
	ResourceExhausted Code = 8
	// FailedPrecondition: the state of the system must change first.
	FailedPrecondition Code = 9
	// Aborted: lost a race; starting over can help.
	Aborted Code = 10
	// OutOfRange: beyond the end.
	OutOfRange Code = 11
	// Unimplemented: the service does not do that.
	Unimplemented Code = 12
	// Internal: the service is broken.
	Internal Code = 13
	// Unavailable: not now; trying again later can help.
	Unavailable Code = 14
	// DataLoss: data is lost or corrupted.
	DataLoss Code = 15
	// Unauthenticated: the caller is not authenticated.
	Unauthenticated Code = 16
)

// String returns the code as Connect spells it, such as "invalid_argument".
func (c Code) String() string {
	switch c {
	case Canceled:
		return "canceled"
	case Unknown:
		return "unknown"
	case InvalidArgument:
		return "invalid_argument"
	case DeadlineExceeded:
		return "deadline_exceeded"
	case NotFound:
		return "not_found"
	case AlreadyExists:
		return "already_exists"
	case PermissionDenied:
		return "permission_denied"
	case ResourceExhausted:
		return "resource_exhausted"
	case FailedPrecondition:
		return "failed_precondition"
	case Aborted:
		return "aborted"
	case OutOfRange:
		return "out_of_range"
	case Unimplemented:
		return "unimplemented"
	case Internal:
		return "internal"
	case Unavailable:
		return "unavailable"
	case DataLoss:
		return "data_loss"
	case Unauthenticated:
		return "unauthenticated"
	}
	return "code_" + strconv.FormatUint(uint64(c), 10)
}

// MarshalText returns the name of the code.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText parses the name of a code, such as "not_found".
func (c *Code) UnmarshalText(text []byte) error {
	for known := Canceled; known <= Unauthenticated; known++ {
		if known.String() == string(text) {
			*c = known
			return nil
		}
	}
	return fmt.Errorf("%q is not a code: use one such as %q", text, InvalidArgument)
}

// Error is a failure that the caller of the service sees: its code and its
// message. An error that it wraps stays in the guest.
type Error struct {
	Code    Code
	Message string
	cause   error
}

var _ error = (*Error)(nil)

// Errorf returns an error with a code. The text is formatted as by fmt.Errorf,
// including %w. A number that is not a code becomes [Unknown].
func Errorf(code Code, format string, args ...any) error {
	if code < Canceled || code > Unauthenticated {
		code = Unknown
	}
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: err}
}

// Error returns the code and the message.
func (e *Error) Error() string { return e.Code.String() + ": " + e.Message }

// Unwrap returns the error that was formatted with %w.
func (e *Error) Unwrap() error { return e.cause }

// asError converts an error of a handler to what its caller sees. For a wrapped
// *Error, that is its own code and message, without the wrapping: the author
// who chose the code also chose the text.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) && e != nil {
		if e.Code < Canceled || e.Code > Unauthenticated {
			return &Error{Code: Unknown, Message: e.Message, cause: e}
		}
		return e
	}
	code := Unknown
	switch {
	case errors.Is(err, context.Canceled):
		code = Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = DeadlineExceeded
	}
	return &Error{Code: code, Message: err.Error(), cause: err}
}
