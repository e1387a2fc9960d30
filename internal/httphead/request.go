package httphead

import (
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

// Origin is what the core says about a request, and what no caller can say.
type Origin struct {
	// Path as the service sees it, escaped, with the query.
	Path string
	// Prefix was cut off the path; "" if nothing was.
	Prefix string
	// Timeout of the call. Zero: none.
	Timeout time.Duration
	// Upgrade is the protocol that the connection is to be upgraded to, or "".
	Upgrade string
}

// Request returns the head of a request. Fields that are about the connection are
// left out, and so are those that only the core may set.
func Request(r *http.Request, o Origin) []byte {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	head := make([]byte, 0, 1<<10)
	add := func(name, value string) {
		if httpguts.ValidHeaderFieldValue(value) {
			head = abi.AppendField(head, name, value)
		}
	}
	add(abi.HeadMethod, r.Method)
	add(abi.HeadPath, o.Path)
	add(abi.HeadAuthority, r.Host)
	add(abi.HeadScheme, scheme)
	add(abi.HeadProto, r.Proto)
	add(abi.HeadRemote, r.RemoteAddr)
	if o.Timeout > 0 {
		add(abi.HeadTimeout, strconv.FormatInt(int64(o.Timeout), 10))
	}
	connection := r.Header["Connection"]
	for name, values := range r.Header {
		if ofConnection(name) || ofCore(name) || !httpguts.ValidHeaderFieldName(name) ||
			len(connection) > 0 && httpguts.HeaderValuesContainsToken(connection, name) {
			continue
		}
		name = strings.ToLower(name)
		for _, v := range values {
			add(name, v)
		}
	}
	if httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") {
		add("te", "trailers") // gRPC insists on it
	}
	for name := range r.Trailer {
		if httpguts.ValidTrailerHeader(name) {
			add("trailer", name)
		}
	}
	if o.Upgrade != "" {
		add("connection", "Upgrade")
		add("upgrade", o.Upgrade)
	}
	add("x-forwarded-for", addressOf(r.RemoteAddr))
	add("x-forwarded-host", r.Host)
	add("x-forwarded-proto", scheme)
	if o.Prefix != "" {
		add("x-forwarded-prefix", o.Prefix)
	}
	return head
}

// addressOf returns an address without its port.
func addressOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// ofConnection reports whether a field, by its canonical name, is about one
// connection and goes no further.
func ofConnection(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return strings.HasPrefix(name, "Proxy-")
}

// ofCore reports whether only a core may set a field: who the caller is, or what
// became of the call.
func ofCore(name string) bool {
	switch name {
	case "Forwarded", "X-Real-Ip":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, headers.Prefix)
}

// Trailers returns the trailers of a request, nil if there are none.
func Trailers(h http.Header) (trailers []byte) {
	for name, values := range h {
		if name = textproto.CanonicalMIMEHeaderKey(name); !isTrailer(name) {
			continue
		}
		for _, v := range values {
			if httpguts.ValidHeaderFieldValue(v) {
				trailers = abi.AppendField(trailers, strings.ToLower(name), v)
			}
		}
	}
	return trailers
}
