package fault

import "fmt"

// Code is the kind of a failure, with the numbers of Connect and gRPC. Zero is
// not a code.
type Code uint32

// The codes, as connectrpc.com/docs/protocol#error-codes describes them.
const (
	CodeCanceled Code = iota + 1
	CodeUnknown
	CodeInvalidArgument
	CodeDeadlineExceeded
	CodeNotFound
	CodeAlreadyExists
	CodePermissionDenied
	CodeResourceExhausted
	CodeFailedPrecondition
	CodeAborted
	CodeOutOfRange
	CodeUnimplemented
	CodeInternal
	CodeUnavailable
	CodeDataLoss
	CodeUnauthenticated
)

// Valid reports whether c is one of the codes.
func (c Code) Valid() bool { return c >= CodeCanceled && c <= CodeUnauthenticated }

// String returns the Connect protocol's name for c, for example
// "invalid_argument".
func (c Code) String() string {
	names := [...]string{
		CodeCanceled:           "canceled",
		CodeUnknown:            "unknown",
		CodeInvalidArgument:    "invalid_argument",
		CodeDeadlineExceeded:   "deadline_exceeded",
		CodeNotFound:           "not_found",
		CodeAlreadyExists:      "already_exists",
		CodePermissionDenied:   "permission_denied",
		CodeResourceExhausted:  "resource_exhausted",
		CodeFailedPrecondition: "failed_precondition",
		CodeAborted:            "aborted",
		CodeOutOfRange:         "out_of_range",
		CodeUnimplemented:      "unimplemented",
		CodeInternal:           "internal",
		CodeUnavailable:        "unavailable",
		CodeDataLoss:           "data_loss",
		CodeUnauthenticated:    "unauthenticated",
	}
	if !c.Valid() {
		return fmt.Sprintf("code_%d", uint32(c))
	}
	return names[c]
}
