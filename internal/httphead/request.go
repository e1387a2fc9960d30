package httphead

import (
	"cmp"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/internal/token"
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
	// From is the address, without a port, that the request came from; "" is the one
	// at the other end of its connection.
	From string
	// Cookies says that those of the request are the service's: it came to a site
	// without the API.
	Cookies bool
	// Authorization says that the field of that name is the service's, unless it can
	// hold a token.
	Authorization bool
}

// Request returns the head of a request. Fields that are about the connection are
// left out, and so are those that only the core may set, those that are for the core,
// and whatever looks like a token.
func Request(r *http.Request, o Origin) []byte {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	head := make([]byte, 0, 1<<10)
	add := func(name, value string) {
		if httpguts.ValidHeaderFieldValue(value) && !token.Within(value) {
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
		if ofConnection(name) || ofCore(name) || forCore(name, o) || !httpguts.ValidHeaderFieldName(name) ||
			len(connection) > 0 && httpguts.HeaderValuesContainsToken(connection, name) {
			continue
		}
		name = strings.ToLower(name)
		for _, v := range values {
			switch {
			case name == "authorization" && token.WithinAuthorization(v):
				continue
			case name == "cookie" && token.Within(v):
				if v = otherCookies(v); v == "" {
					continue
				}
			}
			add(name, v)
		}
	}
	if httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") {
		add("te", "trailers") // gRPC insists on it
	}
	for name := range r.Trailer {
		if isTrailer(name) {
			add("trailer", name)
		}
	}
	if o.Upgrade != "" {
		add("connection", "Upgrade")
		add("upgrade", o.Upgrade)
	}
	add("x-forwarded-for", cmp.Or(o.From, addressOf(r.RemoteAddr)))
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

// forCore reports whether a field is for the core, and no service's business: with
// what the caller has shown it, the service could call others in the caller's name.
func forCore(name string, o Origin) bool {
	return name == "Authorization" && !o.Authorization || name == "Cookie" && !o.Cookies
}

// otherCookies returns the cookies of a field without those that look like a token.
func otherCookies(field string) string {
	var others []string
	for cookie := range strings.SplitSeq(field, ";") {
		if !token.Within(cookie) {
			others = append(others, strings.TrimSpace(cookie))
		}
	}
	return strings.Join(others, "; ")
}

// Trailers returns the trailers of a request, nil if there are none.
func Trailers(h http.Header) (trailers []byte) {
	for name, values := range h {
		if name = textproto.CanonicalMIMEHeaderKey(name); !isTrailer(name) {
			continue
		}
		for _, v := range values {
			if httpguts.ValidHeaderFieldValue(v) && !token.Within(v) {
				trailers = abi.AppendField(trailers, strings.ToLower(name), v)
			}
		}
	}
	return trailers
}
