package route

import (
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Table finds the service of a request. Fill it with [Table.Add]; after that, it is
// safe for concurrent use. A nil table has no routes.
type Table struct {
	// targets are the services at a host and a path. Their methods do not overlap.
	targets map[place][]target
	hosts   map[string]bool
	longest int // path, in bytes
}

type place struct{ host, path string }

type target struct {
	methods []string // none means all
	service string
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{targets: map[place][]target{}, hosts: map[string]bool{}}
}

// Add adds a route of a service. It reports false, and adds nothing, if another
// route of the table has the same requests.
func (t *Table) Add(service string, r *ruedov1.Route) bool {
	at := place{r.GetHost(), r.GetPath()}
	for _, other := range t.targets[at] {
		if Conflict(r, &ruedov1.Route{Host: at.host, Path: at.path, Methods: other.methods}) {
			return false
		}
	}
	t.targets[at] = append(t.targets[at], target{r.GetMethods(), service})
	t.hosts[at.host] = true
	t.longest = max(t.longest, len(at.path))
	return true
}

// HasHost reports whether a route names this host. The host can have a port.
func (t *Table) HasHost(host string) bool {
	return t != nil && t.hosts[hostname(host)] && hostname(host) != ""
}

// Lookup returns the service that a request is for, and reports whether there is
// one. The host can have a port. Routes with the host come before those without
// one, then the longest path wins. A route without the request's method does not
// match.
//
// It allocates nothing, unless the host is not in lower case.
func (t *Table) Lookup(host, path, method string) (service string, ok bool) {
	if t == nil || len(t.targets) == 0 {
		return "", false
	}
	host = hostname(host)
	if host != "" && t.hosts[host] {
		if service, ok = t.at(host, path, method); ok {
			return service, true
		}
	}
	if t.hosts[""] {
		return t.at("", path, method)
	}
	return "", false
}

// hostname returns the name of a host as routes have it.
func hostname(host string) string {
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 {
		host = host[:colon]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// at returns the service with the longest path at one host.
func (t *Table) at(host, path, method string) (string, bool) {
	prefix := path
	if len(prefix) > t.longest {
		prefix = prefix[:t.longest]
		prefix = prefix[:strings.LastIndexByte(prefix, '/')+1]
	}
	for prefix != "" {
		for _, target := range t.targets[place{host, prefix}] {
			if covers(target.methods, method) {
				return target.service, true
			}
		}
		prefix = prefix[:strings.LastIndexByte(prefix[:len(prefix)-1], '/')+1]
	}
	return "", false
}
