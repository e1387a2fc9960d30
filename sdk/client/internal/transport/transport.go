// Package transport is how a client connects to cores: by TCP, TLS or unix sockets.
package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/sdk/client/internal/cores"
)

// connectTimeout bounds the attempts to connect to all cores, and minConnect is
// what each of them gets at least.
const (
	connectTimeout = 5 * time.Second
	minConnect     = time.Second
)

// New returns a transport to cores that keeps up to 64 idle connections to each.
func New(list []cores.Core, config *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: max(connectTimeout/time.Duration(len(list)), minConnect), KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                 proxy(list),
		DialContext:           cores.Sockets(list, dialer.DialContext),
		TLSClientConfig:       config,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
		// Cores compress responses with gzip on request. The bodies of calls are
		// usually small or already compressed.
		DisableCompression: true,
	}
}

// proxy returns the proxies of the environment; sockets have none.
func proxy(list []cores.Core) func(*http.Request) (*url.URL, error) {
	return func(req *http.Request) (*url.URL, error) {
		for _, core := range list {
			if core.Socket != "" && core.URL.Host == req.URL.Host {
				return nil, nil
			}
		}
		return http.ProxyFromEnvironment(req)
	}
}

// Verified is an HTTP client that says which core cannot be trusted, or does not let
// this machine in, and why.
type Verified struct{ connect.HTTPClient }

func (v Verified) Do(req *http.Request) (*http.Response, error) {
	res, err := v.HTTPClient.Do(req)
	if err == nil {
		return res, nil
	}
	cause := err
	if ue, ok := errors.AsType[*url.Error](err); ok {
		cause = ue.Err
	}
	e, ok := errors.AsType[*fault.Error](pki.Explain(cause))
	if dialled, _ := errors.AsType[*net.OpError](cause); !ok && (dialled == nil || dialled.Op != "dial") {
		e = refused(req.Context(), v.HTTPClient, req.URL)
		ok = e != nil
	}
	if !ok || e.Reason != fault.AuthorityUnknown && e.Reason != fault.PinMismatch && e.Reason != fault.Unauthenticated {
		return nil, err
	}
	own := *e
	own.Message += " (" + cores.Origin(req.URL) + ")"
	own.NotStarted = true
	return nil, own.With("url", cores.Origin(req.URL))
}
