// Package wire is how Ruedo speaks HTTP: one listener on which Connect, gRPC,
// gRPC-Web and plain HTTP share a port, over HTTP/1.1 and h2c.
//
// [Listen] opens the port, [NewServer] makes a server whose timeouts hold
// against slow and greedy peers, [HandlerOptions] gives every Connect handler
// the same onion:
//
//	recover -> errors -> validate -> handler
//
// so that a panic is one failed call, every error leaves with a reason, and no
// handler sees a request that breaks its message's rules. [Requests] counts what
// became of each.
package wire

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Bounds of the server. Bodies have bounds of their own, where they are read.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	maxStreams    = 1024
	// bodyIdle is how long a body may stand still.
	bodyIdle = 30 * time.Second
	// bodyRate is how many bytes of a body must come in a second, counted from
	// its beginning, once it has lasted for bodyIdle.
	bodyRate = 4 << 10
)

// Listen opens a TCP port. PORT_IN_USE says who wants what; port 0 picks one.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fault.Wrap(err, fault.PortInUse, "the address %s is in use by another process", addr).
			WithFix("stop that process, or choose another port with --port or RUEDO_SERVER_PORT")
	}
	return nil, fault.Wrap(err, fault.ConfigInvalid, "cannot listen on %s: %v", addr, err).
		WithFix("give host:port of this machine, for example 127.0.0.1:7833")
}

// Loopback tells whether a host or host:port is reachable from this machine
// alone. A name other than localhost is not resolved: it counts as reachable.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// NewServer makes a server for one port. The caller serves and shuts it down.
func NewServer(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			SendPingTimeout:      15 * time.Second,
			PingTimeout:          5 * time.Second,
			WriteByteTimeout:     15 * time.Second,
		},
	}
}

// PatientBody gives every read of a request's body a deadline of its own: a
// long upload is fine, one that stands still for 30 s is not, nor one that then
// has come at less than 4 KiB/s.
func PatientBody(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		body := &patientBody{ReadCloser: r.Body, rc: rc, began: time.Now()}
		// The server must know its own body again: only then does it linger on a
		// connection whose body was not read to its end, and the answer arrives.
		patient := *r
		patient.Body = body
		h.ServeHTTP(w, &patient)
		// The connection goes on without the last deadline.
		_ = rc.SetReadDeadline(time.Time{})
	})
}
