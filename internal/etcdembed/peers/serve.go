package peers

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/etcdserver/api/rafthttp"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// The bounds of a request of another member. Its body is bounded by etcd: it can
// be a snapshot of the whole store.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 5 * time.Minute
	maxHeader     = 64 << 10
)

// Server serves the other members. It is not etcd's own listener, so that it can
// be closed although etcd has failed.
type Server struct {
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
}

// Open binds the port. It fails with PORT_IN_USE or CONFIG_INVALID.
func (c Config) Open() (*Server, error) {
	info, scheme := c.tlsInfo(), "http"
	if c.CertFile != "" {
		scheme = "https"
	}
	ln, err := transport.NewListenerWithOpts(c.Listen, scheme,
		transport.WithTLSInfo(&info), transport.WithTimeout(rafthttp.ConnReadTimeout, rafthttp.ConnWriteTimeout))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fault.Wrap(err, fault.PortInUse, "the store cannot listen for its other members on %s: the port is in use", c.Listen).
			WithFix("stop the process that uses it, or choose another store.peer_address").With("peer_address", c.Listen)
	case err != nil:
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the store cannot listen for its other members on %s: %v", c.Listen, err)
	}
	return &Server{listener: ln, server: &http.Server{
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // strangers' mistakes
	}}, nil
}

// Serve serves the port until Close.
func (s *Server) Serve(h http.Handler) {
	s.server.Handler = h
	s.serving.Go(func() { _ = s.server.Serve(s.listener) }) // Serve only reports that the server was closed
}

// Close closes the port and all connections. It can be called more than once, and
// on nil.
func (s *Server) Close() {
	if s == nil {
		return
	}
	_ = s.listener.Close() // closed already if Serve was called
	_ = s.server.Close()
	s.serving.Wait()
}

// client returns a client that speaks to other members.
func (c Config) client(timeout time.Duration) (*http.Client, func(), error) {
	t, err := transport.NewTransport(c.tlsInfo(), timeout)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.ConfigInvalid, "the certificates for the members of the store cannot be used: %v", err)
	}
	return &http.Client{
		Transport: t,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}, t.CloseIdleConnections, nil
}

// get asks a member for a page of at most limit bytes.
func get(ctx context.Context, client *http.Client, url string, limit int64) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit))
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return res.Header, body, err
}
