// Package loopback tells addresses of this machine from those that others can
// reach.
package loopback

import (
	"net"
	"net/netip"
	"strings"
)

// Is reports whether a host or host:port can be reached only from this machine. A
// name other than localhost is not resolved: it counts as reachable.
func Is(addr string) bool {
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
