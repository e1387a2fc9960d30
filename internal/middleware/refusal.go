package middleware

import (
	"net/http"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// Refusal returns why a request for an existing Connect procedure did not reach
// its interceptors. Connect's response says what was wrong.
func Refusal(r *http.Request) fault.Reason {
	for _, name := range []string{"Content-Encoding", "Connect-Content-Encoding", "Grpc-Encoding"} {
		if e := r.Header.Get(name); e != "" && e != "identity" && e != "gzip" {
			return fault.Unimplemented
		}
	}
	if r.Context().Err() != nil {
		return fault.Canceled
	}
	return fault.RequestInvalid
}

// BrokenBody returns the error for a body that did not arrive. The port's own
// errors say why; for other errors, the message says only that.
func BrokenBody(err error) error {
	if err == nil {
		return nil
	}
	if e := faultrpc.FromError(err); e.Reason != fault.Internal {
		return e
	}
	return fault.Wrap(err, fault.InputBroken, "the body was cut off before its end").WithFix("send it again")
}
