package fault

import (
	"net/http"

	"connectrpc.com/connect"
)

// HTTPStatus is the status of an error on the plain HTTP front. It is
// Connect's own table, with 413 for what is too large and 499 for a caller
// that went away.
func HTTPStatus(e *Error) int {
	switch e.Reason {
	case InputTooLarge, UploadTooLarge:
		return http.StatusRequestEntityTooLarge
	}
	switch e.ConnectCode() {
	case connect.CodeCanceled:
		return 499
	case connect.CodeInvalidArgument, connect.CodeFailedPrecondition, connect.CodeOutOfRange:
		return http.StatusBadRequest
	case connect.CodeDeadlineExceeded:
		return http.StatusGatewayTimeout
	case connect.CodeNotFound:
		return http.StatusNotFound
	case connect.CodeAlreadyExists, connect.CodeAborted:
		return http.StatusConflict
	case connect.CodePermissionDenied:
		return http.StatusForbidden
	case connect.CodeResourceExhausted:
		return http.StatusTooManyRequests
	case connect.CodeUnimplemented:
		return http.StatusNotImplemented
	case connect.CodeUnavailable:
		return http.StatusServiceUnavailable
	case connect.CodeUnauthenticated:
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}
