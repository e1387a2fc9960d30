package assemble

import (
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// URL makes a URL of host, host:port or URL.
func URL(host string, port int) string {
	if strings.Contains(host, "://") {
		return strings.TrimRight(host, "/")
	}
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
	}
	return "http://" + host
}

// listenAddress is where a core listens; beyond this machine only if that was
// asked for loudly, since nobody is asked who they are.
func (a *Assembler) listenAddress() (string, error) {
	s := a.Settings.Server
	addr := net.JoinHostPort(s.ListenAddress, strconv.Itoa(s.Port))
	if port.Loopback(addr) {
		return addr, nil
	}
	if !s.InsecureListen {
		return "", fault.New(fault.ConfigInvalid, "listening on %s is refused: others reach it, and there is neither TLS nor a login; whoever reaches it owns the cluster", addr).
			WithFix("listen on 127.0.0.1, or say --insecure-listen if the network is yours alone")
	}
	a.say("WARNING: listening on %s without TLS or login. Whoever reaches it owns the cluster.", addr)
	return addr, nil
}

// advertised is the URL that others are told; "" lets the core make it of the
// address that it listens on.
func (a *Assembler) advertised() string {
	s := a.Settings.Server
	if s.AdvertiseURL != "" {
		return URL(s.AdvertiseURL, s.Port)
	}
	if ip := net.ParseIP(s.ListenAddress); ip != nil && ip.IsUnspecified() && s.Port != 0 {
		// "every address" is none that others could dial.
		if host, err := os.Hostname(); err == nil {
			return URL(host, s.Port)
		}
	}
	return ""
}
