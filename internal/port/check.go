package port

import (
	"net/http"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

// Handler returns the handler of all routes. It refuses requests from other
// sites' pages with HOST_NOT_ALLOWED or ORIGIN_NOT_ALLOWED. A request must name
// one of [Config.Hosts], an address, or a name that cannot be rebound. A
// request from a browser must come from a page of the same origin or of one of
// [Config.Origins]. A request for another cluster is refused with CLUSTER_MISMATCH.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.check(r); err != nil {
			if err.Reason == fault.HostNotAllowed && s.foreign.serve(w, r) {
				return
			}
			s.cfg.Origins.Readable(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s.unknown.count(err.Reason)
				faultrpc.WriteError(w, r, err, false)
			})).ServeHTTP(w, r)
			return
		}
		for _, raw := range s.raw {
			if strings.HasPrefix(r.URL.Path, raw.prefix) {
				raw.h.ServeHTTP(w, r)
				return
			}
		}
		s.mux.ServeHTTP(w, r)
	})
}

func (s *Server) check(r *http.Request) *fault.Error {
	c, _ := r.Context().Value(connKey{}).(*conn)
	known := c.knownHost()
	err := s.gate.Check(r, known)
	if err == nil && c != nil && known != r.Host {
		c.knowHost(r.Host)
	}
	return err
}

// knownHost returns the host that the connection's last request named, if it
// was allowed.
func (c *conn) knownHost() string {
	if c == nil {
		return ""
	}
	if h := c.host.Load(); h != nil {
		return *h
	}
	return ""
}

func (c *conn) knowHost(host string) { c.host.Store(&host) }
