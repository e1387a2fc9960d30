// Package transport makes the requests of a runner to a core: those of the lane, those for
// bodies, and those for what streams, each over connections of their own.
package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane/bearer"
	"github.com/ruedo-dev/ruedo/internal/lane/pace"
	"github.com/ruedo-dev/ruedo/internal/lane/queue"
	"github.com/ruedo-dev/ruedo/internal/socket"
)

// handshakeTime bounds a handshake of TLS.
const handshakeTime = 10 * time.Second

// Access says how a runner and a core know each other. The zero Access shows nothing,
// and trusts the authorities of the system.
type Access struct {
	// Token returns what the runner shows with each request; "" is nothing. It is not
	// sent without TLS to another machine: that fails with PLAINTEXT_REFUSED.
	Token func(context.Context) (string, error)
	// TLS is the configuration of connections to an https URL.
	TLS *tls.Config
	// Socket is the path of the core's unix socket, which takes the place of its URL. If
	// it is "", the URL counts.
	Socket string
}

// Clients make the requests.
type Clients struct {
	// URL is what is asked.
	URL string
	// Lane speaks HTTP/2. The others speak HTTP/1.1: with one connection for each
	// request, they cannot hold each other up, and it is cheaper.
	Lane, Bodies, Streams connect.HTTPClient
	// HangUp closes their connections.
	HangUp func()
}

// New returns the clients for a core. A nil dial is net.Dialer's. The error is
// CONFIG_INVALID.
func New(core string, access Access, dial Dial) (*Clients, error) {
	u, err := url.Parse(core)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fault.New(fault.ConfigInvalid, "core %q is not an address of the form http://host:port", core).
			WithFix("write the address as http://host:port, for example http://127.0.0.1:7833")
	}
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	if path := access.Socket; path != "" {
		core = "http://localhost" // there is no TLS on a socket, and no name
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, path) }
	}
	d := &dialer{connect: dial, conns: make(map[net.Conn]struct{})}
	shows := func(t *http.Transport) connect.HTTPClient {
		t.DialContext = d.dial
		t.DisableCompression = true
		t.TLSHandshakeTimeout = handshakeTime
		if access.TLS != nil {
			t.TLSClientConfig = access.TLS.Clone()
		}
		if u.Scheme == "https" && access.Socket == "" {
			t.Proxy = http.ProxyFromEnvironment
		}
		return bearer.Client{Next: &http.Client{Transport: t, CheckRedirect: bearer.Stay}, Token: access.Token, Core: u}
	}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	l := &http.Transport{
		Protocols:       &protocols,
		HTTP2:           laneHTTP2(),
		WriteBufferSize: queue.SegmentSize,
		ReadBufferSize:  queue.SegmentSize,
	}
	var plain http.Protocols
	plain.SetHTTP1(true)
	b := &http.Transport{
		Protocols: &plain,
		// A handshake of TLS costs more than a connection that is kept.
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       30 * time.Second,
		WriteBufferSize:       queue.SegmentSize,
		ReadBufferSize:        queue.SegmentSize,
		ResponseHeaderTimeout: time.Minute,
	}
	// Streams are the same, but the core answers when the call does, and many of
	// them wait at the same time: none has buffers for more than its pieces.
	s := &http.Transport{
		Protocols:           &plain,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
	}
	return &Clients{core, shows(l), shows(b), shows(s), func() {
		l.CloseIdleConnections()
		b.CloseIdleConnections()
		s.CloseIdleConnections()
		d.hangUp()
	}}, nil
}

// laneHTTP2 configures HTTP/2 to tear down a connection whose peer has stopped,
// even if the peer's kernel still acknowledges its packets. An idle lane needs no
// pings, because its heartbeats come more often.
func laneHTTP2() *http.HTTP2Config {
	return &http.HTTP2Config{SendPingTimeout: (pace.Longest + 1) * pace.Usual, PingTimeout: 5 * time.Second, WriteByteTimeout: 10 * time.Second}
}
