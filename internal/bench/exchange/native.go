package exchange

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/guests/site"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
)

// RolePrefix begins the roles that [Serve] knows.
const RolePrefix = "exchange/"

const (
	handlerRole = RolePrefix + "handler"
	proxyRole   = RolePrefix + "proxy"
)

// Serve is one process of the native peer, which Run starts as -role with -next.
// It prints its address and serves until ctx ends.
func Serve(ctx context.Context, role, next string) error {
	var h http.Handler
	switch role {
	case handlerRole:
		h = site.Handler()
	case proxyRole:
		to, err := url.Parse(next)
		if err != nil {
			return err
		}
		h = proxy(to)
	default:
		return fmt.Errorf("no role %q", role)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, Protocols: both()}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// both are HTTP/1.1 and HTTP/2, without TLS.
func both() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// proxy returns a proxy that speaks the protocol of its caller.
func proxy(to *url.URL) http.Handler {
	reverse := func(t *http.Transport) *httputil.ReverseProxy {
		return &httputil.ReverseProxy{Transport: t, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	}
	one := reverse(&http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512, DisableCompression: true})
	two := reverse(http2())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			two.ServeHTTP(w, r)
			return
		}
		// Otherwise the server closes the body when the answer begins, and a transport
		// that has yet to see the end of the body cuts the answer off.
		_ = http.NewResponseController(w).EnableFullDuplex()
		one.ServeHTTP(w, r)
	})
}

// http2 returns a transport of HTTP/2 without TLS.
func http2() *http.Transport {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: p, DisableCompression: true}
}

// twoHops starts the native peer.
func twoHops(g *process.Group) (*subject, error) {
	far, handler, err := g.Serve(handlerRole, "")
	if err != nil {
		return nil, err
	}
	near, proxy, err := g.Serve(proxyRole, far)
	if err != nil {
		return nil, err
	}
	return &subject{name: native, url: near, processes: []*process.Process{proxy, handler}}, nil
}
