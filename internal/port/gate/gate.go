// Package gate refuses requests that are not meant for a server, or that a web page of
// somebody else made a browser send.
//
//	g := gate.New(gate.Config{Cluster: "blue", Hosts: []string{"core.example.com"}})
//	err := g.Check(r, "")
package gate

import (
	"net/http"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/internal/port/hosts"
	"github.com/ruedo-dev/ruedo/internal/port/origins"
)

// Config says what a server is called, and whose pages can use it.
type Config struct {
	// Cluster is the cluster id; "" is any.
	Cluster string
	// Hosts are names of the server besides those that are always allowed.
	Hosts []string
	// Origins are those of pages, besides the server's own.
	Origins origins.Allowed
}

// Gate checks requests.
type Gate struct {
	cluster string
	hosts   hosts.Set
	origins *http.CrossOriginProtection
}

// New returns a gate.
func New(cfg Config) *Gate {
	return &Gate{cfg.Cluster, hosts.New(cfg.Hosts), cfg.Origins.Protection()}
}

// Check returns why a request is refused: CLUSTER_MISMATCH, HOST_NOT_ALLOWED or
// ORIGIN_NOT_ALLOWED; nil if it is not. known is a host that is allowed, or "".
func (g *Gate) Check(r *http.Request, known string) *fault.Error {
	if named := r.Header[headers.Cluster]; len(named) > 0 && named[0] != g.cluster && g.cluster != "" {
		return fault.New(fault.ClusterMismatch, "the request is for cluster %q, this core belongs to %q", fault.Cut(named[0], 64), g.cluster).
			WithFix("use the address of a core of that cluster, or the right cluster id")
	}
	if (known == "" || known != r.Host) && !g.hosts.Allow(r.Host) {
		return fault.New(fault.HostNotAllowed, "the host name %q is not allowed on this core", fault.Cut(r.Host, 128)).
			WithFix("use its address, or add the name to server.hosts")
	}
	if err := g.fromElsewhere(r); err != nil {
		return fault.Wrap(err, fault.OriginNotAllowed, "requests from web pages of another origin are not allowed").
			WithFix("add the origin of the page to server.origins, if it may use this core")
	}
	return nil
}

// fromElsewhere returns why a request is one of a page of another origin that is refused.
// What such a page may only show, it may not have as a WebSocket, from which it can read.
func (g *Gate) fromElsewhere(r *http.Request) error {
	if r.Header["Upgrade"] != nil {
		asked := *r
		asked.Method = http.MethodPost
		r = &asked
	}
	return g.origins.Check(r)
}
