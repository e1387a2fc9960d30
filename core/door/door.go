// Package door is how a core is reached: in the clear or over TLS, and by a socket on
// its own machine. It refuses to be reached where others can read or control what they
// must not.
package door

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/loopback"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/socket"
)

// TLS says how a core's ports are encrypted.
type TLS struct {
	// Optional serves without TLS if there is no certificate: the cluster has no logins,
	// and so no authority of its own, and Pair is not set.
	Optional bool
	// Pair is the certificate for clients that do not trust the cluster's own
	// authority. Required if nobody has to log in to the cluster, which has none then.
	Pair *pki.Pair
	// Lock has clients show a certificate. Default: none is asked for.
	Lock *pki.Lock
	// Names are host names and addresses in the certificates of the cluster's own
	// authority, besides those that the core knows itself.
	Names []string
}

// Config says how a core is reached.
type Config struct {
	// Core is the id of the core, and URL where it says that it is reached.
	Core, URL string
	// Listeners are those of its ports; that of the API is the first one.
	Listeners []net.Listener
	// Login reports whether callers have to log in. If they do, Authorities returns the
	// authorities of the cluster, the newest one first.
	Login       bool
	Authorities func() []*pki.Authority
	// TLS of the ports; nil for none.
	TLS *TLS
	// Socket on this machine; nil for none. Its Port and Logger are filled in.
	Socket *socket.Config
	// Insecure allows what is refused otherwise.
	Insecure bool
	// Logger receives warnings. Required.
	Logger *slog.Logger
}

// Doors are those of one core.
type Doors struct {
	// TLS of its ports, nil for none.
	TLS *tls.Config
	// Socket on this machine, nil for none.
	Socket *socket.Listener
}

// Open opens them. It fails with CONFIG_INVALID where a core must not be reached, and
// with the errors of [socket.Listen] if a path for the socket is set.
func Open(cfg Config) (d Doors, err error) {
	if err := cfg.check(); err != nil {
		return d, err
	}
	if cfg.TLS != nil {
		if d.TLS, err = cfg.server(*cfg.TLS); err != nil {
			return d, err
		}
	}
	if cfg.Socket == nil {
		return d, nil
	}
	at := *cfg.Socket
	at.Logger = cfg.Logger
	if addr, ok := cfg.Listeners[0].Addr().(*net.TCPAddr); ok {
		at.Port = addr.Port
	}
	d.Socket, err = socket.Listen(at)
	if err != nil && at.Path == "" {
		if cfg.Login || !errors.Is(err, fault.Unimplemented) {
			cfg.Logger.Warn("there is no socket, by which the owner of this machine could administer the cluster without logging in", "error", err)
		}
		return Doors{TLS: d.TLS}, nil
	}
	return d, err
}

// check refuses to listen where others can read or control what they must not, unless
// that was asked for.
func (cfg Config) check() error {
	for _, l := range cfg.Listeners {
		addr := l.Addr().String()
		if loopback.Is(addr) {
			continue
		}
		why, fix := cfg.exposed()
		switch {
		case why == "":
		case !cfg.Insecure:
			return fault.New(fault.ConfigInvalid, "listening on %s is refused: %s", addr, why).WithFix("%s, or pass --insecure-listen if %s", fix, accepted(cfg.Login))
		default:
			cfg.Logger.Warn("INSECURE: this core listens on "+addr+", and "+why, "fix", fix)
		}
	}
	return nil
}

// exposed returns what is wrong with listening on an address that others can reach, and
// what to do instead; "" if nothing is.
func (cfg Config) exposed() (why, fix string) {
	switch {
	case !cfg.Login:
		return "nobody has to log in to this cluster, so anyone who can reach the port controls it", "listen on 127.0.0.1, have callers log in"
	case cfg.TLS == nil:
		return "without TLS, anyone on the way can read passwords and tokens", "leave tls.mode at auto"
	}
	return "", ""
}

// accepted says when that is no harm.
func accepted(login bool) string {
	if login {
		return "a proxy in front of the core has TLS"
	}
	return "you trust everyone on the network"
}

func (cfg Config) server(own TLS) (*tls.Config, error) {
	server := pki.ServerConfig{Pair: own.Pair, Lock: own.Lock}
	if cfg.Login {
		leaves, err := pki.NewLeaves(pki.LeavesConfig{Authorities: cfg.Authorities, Core: cfg.Core, Names: cfg.names(own.Names)})
		if err != nil {
			return nil, err
		}
		server.Leaves = leaves
	}
	if server.Leaves == nil && server.Pair == nil {
		return nil, fault.New(fault.ConfigInvalid, "TLS is on, but there is no certificate: nobody has to log in to this cluster, so it has no authority of its own").
			WithFix("set tls.certificate_file and tls.private_key_file")
	}
	return pki.Server(server), nil
}

// names returns the names by which the core is reached.
func (cfg Config) names(more []string) []string {
	list := append([]string{"localhost", "127.0.0.1", "::1"}, more...)
	if host, err := os.Hostname(); err == nil {
		list = append(list, host)
	}
	if u, err := url.Parse(cfg.URL); err == nil && u.Hostname() != "" {
		list = append(list, u.Hostname())
	}
	for _, l := range cfg.Listeners {
		if addr, ok := l.Addr().(*net.TCPAddr); ok && !addr.IP.IsUnspecified() {
			list = append(list, addr.IP.String())
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
