// Package head looks at the heads of requests before their handlers do.
package head

import (
	"maps"
	"net/http"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxField is the maximum length, in bytes, of a header field that errors quote
// or that an answer repeats.
const maxField = 255

// Check returns an error if such a field is longer, or a GET parameter that replaces
// one.
func Check(r *http.Request) *fault.Error {
	for _, name := range []string{
		"Content-Type", "Content-Encoding", "Connect-Content-Encoding", "Connect-Protocol-Version", "Connect-Timeout-Ms", "Grpc-Encoding", "Grpc-Timeout",
	} {
		for _, v := range r.Header[name] {
			if len(v) > maxField {
				return fault.New(fault.RequestInvalid, "the field %s of the header has %d bytes, the limit is %d", name, len(v), maxField)
			}
		}
	}
	if r.Method != http.MethodGet || len(r.URL.RawQuery) <= maxField {
		return nil
	}
	query := r.URL.Query()
	for _, name := range []string{"connect", "encoding", "compression", "base64"} {
		for _, v := range query[name] {
			if len(v) > maxField {
				return fault.New(fault.RequestInvalid, "the parameter %s has %d bytes, the limit is %d", name, len(v), maxField)
			}
		}
	}
	return nil
}

// prefix is the length of what precedes a message in gRPC.
const prefix = 5

// Fits returns an error if a request announces a message of more than limit bytes. A
// compressed one can only be judged when it is inflated.
func Fits(r *http.Request, limit int) *fault.Error {
	if r.ContentLength <= int64(limit)+prefix || Compressed(r.Header) {
		return nil
	}
	return fault.New(fault.InputTooLarge, "the message has %d bytes; the limit of %s is %d", r.ContentLength, r.URL.Path, limit).
		With("limit", limit).With("actual", r.ContentLength).WithFix("send less in one message")
}

// Compressed reports whether the body of a request is possibly compressed.
func Compressed(h http.Header) bool {
	for _, name := range []string{"Content-Encoding", "Connect-Content-Encoding", "Grpc-Encoding"} {
		if v := h[name]; len(v) > 0 && v[0] != "" && !strings.EqualFold(v[0], "identity") {
			return true
		}
	}
	return false
}

// Anonymous returns a request without what says who it is of.
func Anonymous(r *http.Request) *http.Request {
	own := r.WithContext(r.Context())
	own.Header = maps.Clone(r.Header)
	own.Header.Del("Authorization")
	return own
}
