package port

import (
	"net/http"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/port/conns"
)

// Handler returns the handler of all routes. It refuses requests from other
// sites' pages with HOST_NOT_ALLOWED or ORIGIN_NOT_ALLOWED. A request must name
// one of [Config.Hosts], an address, or a name that cannot be rebound. A
// request from a browser must come from a page of the same origin or of one of
// [Config.Origins]. A request for another cluster is refused with CLUSTER_MISMATCH.
func (s *Server) Handler() http.Handler {
	return s.checked(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, raw := range s.raw {
			if strings.HasPrefix(r.URL.Path, raw.prefix) {
				raw.h.ServeHTTP(w, r)
				return
			}
		}
		s.mux.ServeHTTP(w, r)
	}))
}

// checked returns a handler of requests that are meant for the server.
func (s *Server) checked(h http.Handler) http.Handler {
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
		h.ServeHTTP(w, r)
	})
}

func (s *Server) check(r *http.Request) *fault.Error {
	c := conns.From(r.Context())
	known := c.Known()
	err := s.gate.Check(r, known)
	if err == nil && c != nil && known != r.Host {
		c.Know(r.Host)
	}
	return err
}
