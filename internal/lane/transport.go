package lane

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane/bearer"
	"github.com/ruedo-dev/ruedo/internal/lane/pace"
	"github.com/ruedo-dev/ruedo/internal/lane/queue"
	"github.com/ruedo-dev/ruedo/internal/socket"
)

// clients make the requests of a runner.
type clients struct {
	lane, bodies, streams connect.HTTPClient
	hangUp                func() // closes their connections
}

// newClients returns the clients for a core, and the URL to ask.
func newClients(cfg ConnConfig) (clients, string, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return clients{}, "", fault.New(fault.ConfigInvalid, "core %q is not an address of the form http://host:port", cfg.URL).
			WithFix("write the address as http://host:port, for example http://127.0.0.1:7833")
	}
	if cfg.HTTPClient != nil {
		return clients{cfg.HTTPClient, cfg.HTTPClient, cfg.HTTPClient, func() {}}, cfg.URL, nil
	}
	d := &dialer{connect: cfg.dial, conns: make(map[net.Conn]struct{})}
	if d.connect == nil {
		d.connect = new(net.Dialer).DialContext
	}
	at := cfg.URL
	if path := cfg.Access.Socket; path != "" {
		at = "http://localhost" // there is no TLS on a socket, and no name
		d.connect = func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, path) }
	}
	shows := func(t *http.Transport) connect.HTTPClient {
		t.DialContext = d.dial
		t.DisableCompression = true
		t.TLSHandshakeTimeout = handshakeTime
		if cfg.Access.TLS != nil {
			t.TLSClientConfig = cfg.Access.TLS.Clone()
		}
		if u.Scheme == "https" && cfg.Access.Socket == "" {
			t.Proxy = http.ProxyFromEnvironment
		}
		return bearer.Client{Next: &http.Client{Transport: t, CheckRedirect: bearer.Stay}, Token: cfg.Access.Token, Core: u}
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
	// Bodies use HTTP/1.1: with one connection each, they cannot hold each
	// other up, and it is cheaper than HTTP/2.
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
	return clients{shows(l), shows(b), shows(s), func() {
		l.CloseIdleConnections()
		b.CloseIdleConnections()
		s.CloseIdleConnections()
		d.hangUp()
	}}, at, nil
}

// dialer tracks its connections, so that they can be closed when the lane ends.
// A transport would wait for a peer that no longer answers.
type dialer struct {
	connect dialFunc
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	over    bool
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		conn.Close()
		return nil, net.ErrClosed
	}
	t := &trackedConn{Conn: conn, dialer: d}
	d.conns[t] = struct{}{}
	return t, nil
}

func (d *dialer) hangUp() {
	d.mu.Lock()
	d.over = true
	conns := d.conns
	d.conns = nil
	d.mu.Unlock()
	for c := range conns {
		c.Close()
	}
}

type trackedConn struct {
	net.Conn
	dialer *dialer
}

func (c *trackedConn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

// laneHTTP2 configures HTTP/2 to tear down a connection whose peer has stopped,
// even if the peer's kernel still acknowledges its packets. An idle lane needs no
// pings, because its heartbeats come more often.
func laneHTTP2() *http.HTTP2Config {
	return &http.HTTP2Config{SendPingTimeout: (pace.Longest + 1) * DefaultHeartbeat, PingTimeout: 5 * time.Second, WriteByteTimeout: 10 * time.Second}
}
