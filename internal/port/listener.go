package port

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
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
	s.begin.Do(func() { s.goroutines.Go(s.watch) })
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) || s.leaving.Load() {
		return nil
	}
	return err
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
		c := &conn{Conn: nc, set: l.s.conns, since: l.s.conns.tick.Load() + 1, accepted: time.Now(), via: l.via, from: address(nc)}
		c.fresh.Store(true)
		switch {
		case !l.s.conns.add(c) && !(l.s.makeRoom() && l.s.conns.add(c)):
			_ = nc.Close() // all others are busy
		case l.tls != nil:
			return handshake.Server(c, l.tls), nil // net/http knows TLS by its type
		default:
			return c, nil
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

// connOf returns the connection below one that the HTTP server has; nil if another
// server accepted it.
func connOf(nc net.Conn) *conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if h, ok := nc.(*handshake.Conn); ok {
		nc = h.Conn
	}
	c, _ := nc.(*conn)
	return c
}

// makeRoom closes the least useful connection: one that has been idle or has
// sent no request for a tick, then one whose peer is slow, then one of either
// kind that has been so for less than a tick. The one that was accepted last
// goes last, because its request is on the way. It reports whether there was
// one.
func (s *Server) makeRoom() bool {
	return s.conns.spare(aTick) || s.hangUpOnSlowest(1) || s.conns.spare(aWhile) || s.hangUpOnSlowest(0) || s.conns.spare(noTime)
}
