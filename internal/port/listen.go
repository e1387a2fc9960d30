package port

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Listen opens a TCP port; port 0 picks one. It fails with PORT_IN_USE if the
// port is taken.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fault.Wrap(err, fault.PortInUse, "the address %s is in use by another process", addr).
			WithFix("stop that process, or choose another port")
	}
	return nil, fault.Wrap(err, fault.ConfigInvalid, "cannot listen on %s: %v", addr, err).
		WithFix("use host:port of this machine, for example 127.0.0.1:7833")
}

// Loopback reports whether a host or host:port can be reached only from this
// machine. A name other than localhost is not resolved: it counts as reachable.
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
