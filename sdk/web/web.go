// Package web is the library for Ruedo services that speak HTTP: any
// [http.Handler], so REST, Connect, gRPC, server-sent events or WebSocket.
//
//	package main
//
//	import (
//		"fmt"
//		"net/http"
//
//		"github.com/ruedo-dev/ruedo/sdk/web"
//	)
//
//	func init() {
//		mux := http.NewServeMux()
//		mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
//			fmt.Fprintf(w, "Hello, %s!\n", r.PathValue("name"))
//		})
//		web.Serve(mux)
//	}
//
//	func main() { web.Main() }
//
// In a module only the init functions run, never main. On your own machine the
// same file is an ordinary program, whose main serves the handler with
// net/http, and a test uses [Test] or package httptest.
//
// The package is apart from sdk, so that functions do not pay for net/http,
// which takes about 8 MB of module. Both can be imported: [sdk.Warm] works for
// these services, too.
//
// # Requests
//
// Each request begins with the memory that was there after the inits. A
// request has the protocol of its caller, so r.ProtoMajor is 2 for HTTP/2. If
// it came over TLS, r.TLS is set, without the details. [Caller] returns who sent
// it; the field Authorization arrives only if a decorator of the service says so, and
// Cookie only at a site without the API. Reading and writing at the same time always
// works. Many goroutines can wait for streams, timers and each other.
//
// The request's context has the deadline of the call. It is canceled when the
// handler returns, and within about a second when the caller is gone. As in
// net/http, that is noticed once the body was read to its end; before, reading it
// fails. The host stops a
// service whose caller is gone, after its grace (a limit of decorators; none by
// default): meanwhile reading and writing fail, and connections to others go on.
//
// # Answers
//
// The [http.ResponseWriter] is an [http.Flusher] and an [http.Hijacker], and
// [http.ResponseController] can set deadlines. Trailers work as in net/http,
// both declared and with [http.TrailerPrefix]. The first 32 KiB of an answer are
// kept until the handler returns or flushes. Writing waits while the caller
// does not read. WriteHeader with an informational status, such as 103, sends the
// fields immediately, and another status follows.
//
// A panic ends the request with status 500 and the stack in the log if nothing
// was sent; otherwise the answer is cut off, so that nobody takes it for
// complete. [http.ErrAbortHandler] does the same without the stack. An answer
// that is shorter than its declared Content-Length fails likewise.
//
// # Hijacking
//
// Only a request with the field Upgrade can be hijacked, which is how libraries
// for WebSocket get their connection. The exchange ends when that connection is
// closed, even if the handler has returned before.
//
// # Network
//
// A module has no network of its own. [Serve] makes http.DefaultTransport a
// [Transport], so http.Get and other clients that use it work; [Dial] makes
// connections. Both need a grant (egress in a decorator). An error before the
// other side answered wraps an [*OutboundError]. A transport of your own
// (http.Transport) needs DialContext set to Dial.
package web

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"strconv"

	"github.com/ruedo-dev/ruedo/sdk"
	"github.com/ruedo-dev/ruedo/sdk/internal/entry"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/exchange"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/outbound"
)

// Serve registers the service's handler. In a module it also makes
// http.DefaultTransport a [Transport]. Call it once, in an init function; a
// second handler, or nil, panics.
func Serve(h http.Handler) {
	if err := claim(h, place()); err != "" {
		misuse(err)
	}
	serve(h)
}

// claim registers h, and returns what is wrong with that or "".
func claim(h http.Handler, place string) string {
	if h == nil {
		return "Serve at " + place + ": the handler is nil"
	}
	by := "web.Serve at " + place
	if before := entry.Claim(by); before != "" {
		return "a service has one handler: " + by + " comes after " + before
	}
	return ""
}

// place returns the place that called Serve.
func place() string {
	_, file, line, ok := runtime.Caller(2)
	if !ok {
		return "an unknown place"
	}
	return file + ":" + strconv.Itoa(line)
}

// Transport is an [http.RoundTripper] whose requests the host makes, under the
// egress policy of the service. On your own machine it is http.DefaultTransport.
//
// It follows no redirects (http.Client does, and each is checked), keeps no
// cookies, and neither asks for compression nor undoes it. It sends no trailers.
// It is safe for concurrent use.
type Transport struct{}

var _ http.RoundTripper = Transport{}

// Dial makes a connection through the host, under the egress policy of the
// service: over tcp, udp, or tls, which the host speaks. The address is a host
// and the number of a port. Deadlines work. Addresses are those that the host
// uses. A connection of datagrams is a [net.PacketConn], too. On your own
// machine it is a [net.Dialer]'s.
//
// TLS in a module costs several times the work of the host's: prefer tls.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return dialOut(ctx, network, address)
}

// OutboundError says why a request or a connection to the network failed before
// the other side answered. Its Reason is a stable word: EGRESS_BLOCKED (the
// service has no grant for it), EGRESS_FAILED (the other side cannot be
// reached), EGRESS_LIMIT (too many streams or bytes).
type OutboundError = outbound.Error

// CallID returns the id of the call that ctx belongs to, which is also in the
// caller's response and in the logs of core and runner. It is empty outside a
// call, and on your own machine.
func CallID(ctx context.Context) string { return exchange.CallID(ctx) }

// Caller returns who called, such as "user/ada", from the context of a request. It is
// [sdk.Caller], which says when that is empty.
func Caller(ctx context.Context) string { return sdk.Caller(ctx) }

// WithCaller returns a context for a request in a test, whose caller [Caller] returns.
func WithCaller(ctx context.Context, caller string) context.Context {
	return context.WithValue(ctx, entry.Caller{}, caller)
}
