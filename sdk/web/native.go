//go:build !wasip1

package web

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
)

// registered is the handler of this program. It has to be a global because
// Serve is called in an init, before main.
var registered http.Handler

func serve(h http.Handler) { registered = h }

// misuse ends a program that uses the package wrongly.
func misuse(message string) { panic("web: " + message) }

// Main serves the registered handler over HTTP/1.1 and HTTP/2, if the program
// runs natively: at the address in the environment variable ADDR, or at
// 127.0.0.1:8080. It returns only by ending the program. A module's main never
// runs.
func Main() {
	if err := listen(registered, os.Getenv("ADDR")); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func listen(h http.Handler, addr string) error {
	if h == nil {
		return fmt.Errorf("this service has no handler: call web.Serve in an init function (main does not run in a module)")
	}
	if addr == "" {
		addr = "127.0.0.1:8080"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "serving at http://%s\n", l.Addr())
	return (&http.Server{Handler: h, Protocols: protocols()}).Serve(l)
}

// protocols are those of a core's port.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// Test starts a server of h, for a test: net/http's own, over HTTP/1.1 and
// HTTP/2 without TLS. If h is nil, it serves the registered handler. The test
// closes it. In a module there is none.
func Test(h http.Handler) *httptest.Server {
	if h == nil {
		h = registered
	}
	if h == nil {
		misuse("Test: the handler is nil and none is registered")
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = protocols()
	s.Start()
	return s
}

// RoundTrip makes one request. It is as http.RoundTripper says.
func (Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return http.DefaultTransport.RoundTrip(req)
}

func dialOut(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "tls" {
		return new(tls.Dialer).DialContext(ctx, "tcp", address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}
