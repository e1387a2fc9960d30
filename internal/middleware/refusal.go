package middleware

import (
	"net/http"

	"github.com/ruedo-dev/ruedo/internal/fault"
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
