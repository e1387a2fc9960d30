package assemble

import (
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/loopback"
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

// listenAddress returns the address that a core listens on. An address that
// other machines can reach needs InsecureListen, since there is no login.
func (a *Assembler) listenAddress() (string, error) {
	s := a.Settings.Server
	addr := net.JoinHostPort(s.ListenAddress, strconv.Itoa(s.Port))
	if loopback.Is(addr) {
		return addr, nil
	}
	if !s.InsecureListen {
		return "", fault.New(fault.ConfigInvalid, "listening on %s is refused: there is neither TLS nor authentication, so anyone who can reach the port controls the cluster", addr).
			WithFix("listen on 127.0.0.1, or pass --insecure-listen if you trust everyone on the network")
	}
	a.infof("WARNING: listening on %s without TLS or authentication. Anyone who can reach the port controls the cluster.", addr)
	return addr, nil
}

// appsAddress returns the address of the second port, for web applications; "" if
// there is none.
func (a *Assembler) appsAddress() (string, error) {
	addr := a.Settings.Server.AppsListen
	if addr == "" || loopback.Is(addr) {
		return addr, nil
	}
	if !a.Settings.Server.InsecureListen {
		return "", fault.New(fault.ConfigInvalid, "serving web applications on %s is refused: there is neither TLS nor authentication, so anyone who can reach the port can use all services of kind http", addr).
			WithFix("listen on 127.0.0.1, or pass --insecure-listen if that is what you want")
	}
	a.infof("WARNING: serving web applications on %s without TLS or authentication. Anyone who can reach the port can use all services of kind http.", addr)
	return addr, nil
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

// advertised returns the URL that the core advertises; "" lets the core derive
// it from the address that it listens on.
func (a *Assembler) advertised() string {
	s := a.Settings.Server
	if s.AdvertiseURL != "" {
		return URL(s.AdvertiseURL, s.Port)
	}
	if ip := net.ParseIP(s.ListenAddress); ip != nil && ip.IsUnspecified() && s.Port != 0 {
		// Nobody can dial an unspecified address such as 0.0.0.0.
		if host, err := os.Hostname(); err == nil {
			return URL(host, s.Port)
		}
	}
	return ""
}
