// Package hosts decides under which names a server may be reached.
package hosts

import (
	"net"
	"net/netip"
	"strings"
)

// Set is the names under which a server may be reached, besides those that are
// always allowed.
//
// A web page can make a browser send requests to any address, and by rebinding
// its own name to 127.0.0.1 even read the answers. Such a request carries the
// page's name as its host. Addresses cannot be rebound, nor can names that no
// registry assigns: localhost, names without a dot, and names under .local,
// .internal and .localhost.
type Set map[string]bool

// New returns a set of names without ports.
func New(names []string) Set {
	h := make(Set, len(names))
	for _, n := range names {
		h[strings.ToLower(strings.TrimSuffix(n, "."))] = true
	}
	return h
}

// Allow reports whether a request may name this host, with or without a port.
func (h Set) Allow(host string) bool {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if !strings.Contains(name, ".") || h[name] {
		return true
	}
	for _, private := range []string{".local", ".internal", ".localhost"} {
		if strings.HasSuffix(name, private) {
			return true
		}
	}
	return false
}
