package wire

import (
	"net/http"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// unread marks a request that has not come through to the interceptors. It
// stands in the request's header, which both they and [Requests.Handler] have in
// hand, so that a good request needs no context of its own. No peer can send it:
// a field's name has no colon.
const unread = "ruedo:unread"

// Requests counts what becomes of requests to Connect handlers, each once. Hand
// it to [HandlerOptions] of every handler, then mount them in
// [Requests.Handler]. Nil counts nothing.
type Requests struct {
	of     func(procedure string) func(outcome fault.Reason)
	counts map[string]func(fault.Reason)
	other  func(fault.Reason)
	mark   []string
}

// NewRequests makes the counter. of is asked once for each procedure, while
// handlers are made, for what counts its requests: that is told the reason of a
// failure, or "" for success, by many goroutines at once. The procedure "" stands
// for all that do not exist.
func NewRequests(of func(procedure string) func(outcome fault.Reason)) *Requests {
	return &Requests{of: of, counts: make(map[string]func(fault.Reason)), other: of(""), mark: []string{}}
}

// procedure gives what counts the requests of a procedure that is served.
func (c *Requests) procedure(name string) func(fault.Reason) {
	if c == nil {
		return func(fault.Reason) {}
	}
	if c.counts[name] == nil {
		c.counts[name] = c.of(name)
	}
	return c.counts[name]
}

// Handler counts also those requests that are refused before the interceptors see
// them, because they cannot be read or ask for what there is not. Connect says in
// the answer why; here they are UNIMPLEMENTED or REQUEST_INVALID. Make all
// handlers before the first request.
func (c *Requests) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header[unread] = c.mark
		next.ServeHTTP(w, r)
		if _, ok := r.Header[unread]; !ok {
			return
		}
		if count, ok := c.counts[r.URL.Path]; ok {
			count(refusal(r))
		} else {
			c.other(fault.Unimplemented)
		}
	})
}

// refusal is why a request to a procedure that exists was not read.
func refusal(r *http.Request) fault.Reason {
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
