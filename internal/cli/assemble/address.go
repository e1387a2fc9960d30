package assemble

import (
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// URL returns a URL for a host, a host:port, a URL or a socket. port is used if host
// names none.
func URL(host string, port int) string {
	if hosts.IsSocket(host) {
		return host
	}
	if strings.Contains(host, "://") {
		return strings.TrimRight(host, "/")
	}
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
	}
	return "http://" + host
}

// listenAddress returns the address that a core listens on.
func (a *Assembler) listenAddress() string {
	return net.JoinHostPort(a.Settings.Server.ListenAddress, strconv.Itoa(a.Settings.Server.Port))
}

// free fails with PORT_IN_USE if somebody listens on an address of the core; apps can
// be "". It is asked before a store is joined: a member that votes and whose core then
// ends would take the majority away from the others.
func free(addr, apps string) error {
	l, err := port.Listen(addr)
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil || apps == "" {
		return err
	}
	if l, err = port.Listen(apps); err != nil {
		return fault.FromError(err).With("apps", apps)
	}
	return l.Close()
}

// advertised returns the URL, or the host:port, at which the core says that it is
// reached; "" lets it derive that from the address that it listens on.
func (a *Assembler) advertised() string {
	s := a.Settings.Server
	at := s.AdvertiseURL
	if ip := net.ParseIP(s.ListenAddress); at == "" && ip != nil && ip.IsUnspecified() && s.Port != 0 {
		// Nobody can dial an unspecified address such as 0.0.0.0.
		at, _ = os.Hostname() // without a name, the core derives it
	}
	if at == "" || strings.Contains(at, "://") {
		return strings.TrimRight(at, "/")
	}
	return strings.TrimPrefix(URL(at, s.Port), "http://") // whether it has TLS, the core finds out
}
