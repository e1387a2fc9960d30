package port

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port/backlog"
	"github.com/ruedo-dev/ruedo/internal/port/conns"
	"github.com/ruedo-dev/ruedo/internal/port/files"
	"github.com/ruedo-dev/ruedo/internal/port/handshake"
)

// Serve accepts connections until Leave, Drain or Close is called, and then returns
// nil. It can be called for several listeners; a unix socket is one, too.
func (s *Server) Serve(l net.Listener) error {
	via := access.ViaTCP
	if l.Addr().Network() == "unix" {
		via = access.ViaSocket
	}
	return s.serve(&listener{Listener: l, s: s, via: via})
}

// ServeTLS is Serve over TLS, with HTTP/2 and HTTP/1.1. cfg must have a certificate.
func (s *Server) ServeTLS(l net.Listener, cfg *tls.Config) error {
	return s.serve(&listener{Listener: l, s: s, via: access.ViaTLS, tls: s.handshakes.Bound(cfg)})
}

func (s *Server) serve(l *listener) error {
	if !s.listen(l) {
		return nil
	}
	s.begin.Do(func() {
		s.goroutines.Go(s.watch)
		s.goroutines.Go(func() { _ = s.http.Serve(s.front) })
	})
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			s.front.Serve(c)
		case s.leaving.Load() || s.draining.Load():
			return nil
		case files.Exhausted(err):
			time.Sleep(pauseAccept) // whoever is served may close some meanwhile
		default:
			return err
		}
	}
}

// pauseAccept is how long a listener waits when the process can open no more files.
const pauseAccept = 10 * time.Millisecond

// ready completes the handshake of a connection over TLS, and reports whether HTTP/1.1
// follows. If the handshake fails, net/http finds out and says so.
func ready(ctx context.Context, nc net.Conn) bool {
	c, ok := nc.(*tls.Conn)
	if !ok {
		return true
	}
	_ = c.SetDeadline(time.Now().Add(headerTimeout))
	err := c.HandshakeContext(ctx)
	_ = c.SetDeadline(time.Time{})
	return err == nil && c.ConnectionState().NegotiatedProtocol != "h2"
}

// listen remembers a listener, to be closed when the server leaves. It reports
// whether the server has not left already.
func (s *Server) listen(l *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving.Load() {
		_ = l.Close()
		return false
	}
	s.listeners = append(s.listeners, l)
	return true
}

// stopListening makes Serve return, whatever the error.
func (s *Server) stopListening() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		l.acceptWaiting()
		_ = l.Close()
	}
}

// listener registers the connections that it accepts with the server.
type listener struct {
	net.Listener
	s   *Server
	via string
	tls *tls.Config // nil without TLS
}

// Accept returns the next connection. At the limit of connections or of open
// files, it closes others to make room.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if files.Exhausted(err) && l.s.makeRoom() {
				continue
			}
			return nil, err
		}
		if c := l.add(nc); c != nil {
			return c, nil
		}
	}
}

// add registers a connection that was accepted. It returns nil if there is no room.
func (l *listener) add(nc net.Conn) net.Conn {
	c, ok := l.s.conns.Add(nc, l.via, address(nc))
	if !ok && l.s.makeRoom() {
		c, ok = l.s.conns.Add(nc, l.via, address(nc))
	}
	switch {
	case !ok:
		_ = nc.Close() // all others are busy
		return nil
	case l.tls != nil:
		return handshake.Server(c, l.tls) // net/http knows TLS by its type
	}
	return c
}

// acceptWaiting serves those who have connected and were not accepted yet: closing the
// listener would reset their connections.
func (l *listener) acceptWaiting() {
	tcp, ok := l.Listener.(*net.TCPListener)
	if !ok {
		return
	}
	for nc := range backlog.Accept(tcp) {
		if c := l.add(nc); c != nil {
			l.s.front.Serve(c)
		}
	}
}

// address returns the address at the other end without a port, or "".
func address(nc net.Conn) string {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap().String()
	}
	return ""
}

// makeRoom closes the least useful connection: one that has been idle or has
// sent no request for a tick, then one whose peer is slow, then one of either
// kind that has been so for less than a tick. The one that was accepted last
// goes last, because its request is on the way. It reports whether there was
// one.
func (s *Server) makeRoom() bool {
	return s.conns.Spare(conns.Tick) || s.hangUpOnSlowest(1) || s.conns.Spare(conns.While) || s.hangUpOnSlowest(0) || s.conns.Spare(conns.NoTime)
}
