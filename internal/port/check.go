package port

import (
	"net/http"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/headers"
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
	if named := r.Header[headers.Cluster]; len(named) > 0 && named[0] != s.cfg.Cluster && s.cfg.Cluster != "" {
		return fault.New(fault.ClusterMismatch, "the request is for cluster %q, this core belongs to %q", fault.Cut(named[0], 64), s.cfg.Cluster).
			WithFix("use the address of a core of that cluster, or the right cluster id")
	}
	c, _ := r.Context().Value(connKey{}).(*conn)
	if known := c.knownHost(); known == "" || known != r.Host {
		if !s.hosts.Allow(r.Host) {
			return fault.New(fault.HostNotAllowed, "the host name %q is not allowed on this core", fault.Cut(r.Host, 128)).
				WithFix("use its address, or add the name to server.hosts")
		}
		if c != nil {
			c.knowHost(r.Host)
		}
	}
	if err := s.origins.Check(r); err != nil {
		return fault.Wrap(err, fault.OriginNotAllowed, "requests from web pages of another origin are not allowed").
			WithFix("add the origin of the page to server.origins, if it may use this core")
	}
	return nil
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
