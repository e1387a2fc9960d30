// Command proxy forwards requests to another server: a service that uses the
// network.
package main

import (
	"cmp"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

func init() { web.Serve(proxy(cmp.Or(os.Getenv("UPSTREAM"), "https://example.com"))) }

// proxy forwards to an upstream, such as https://example.com. It is the reverse
// proxy of the standard library: its requests leave through http.DefaultTransport,
// which in a module is the host's.
func proxy(upstream string) http.Handler {
	to, err := url.Parse(upstream)
	if err != nil || to.Host == "" {
		panic("UPSTREAM must be a URL such as https://example.com") // publishing reports it
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			// What callers send to this service is not for the upstream.
			r.Out.Header.Del("Cookie")
			r.Out.Header.Del("Authorization")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			// An error of the host says what is missing: a grant, or an upstream that answers.
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
}

// Natively this serves the handler at http://127.0.0.1:8080: go run .
func main() { web.Main() }
