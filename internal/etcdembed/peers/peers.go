// Package peers is what one member of an embedded store has to do with the
// others: its settings, the port on which they reach it, and what they answer.
//
//	cfg, err := peers.Config{Listen: "127.0.0.1:7834"}.WithDefaults()
//	srv, err := cfg.Open(ctx)
//	srv.Serve(handler)
//	answers := cfg.Ask(ctx, urls)
//
// # What the port needs
//
// Whoever reaches the port can read and change the store. So it listens beyond
// loopback only with certificates, which both ends of each connection must have,
// or if [Config.Insecure] is set.
package peers

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Tick is how often a leader is heard from, and how long members wait for it.
type Tick struct{ Heartbeat, Election time.Duration }

// Ticks returns the tick of a name: single for a member that is alone, near for
// members in one site, wan for members far from each other. The empty name is
// near.
func Ticks(name string) Tick {
	switch name {
	case "single":
		return Tick{10 * time.Millisecond, 100 * time.Millisecond}
	case "wan":
		return Tick{100 * time.Millisecond, time.Second}
	}
	return Tick{50 * time.Millisecond, 500 * time.Millisecond}
}

// Config makes an etcd one of several members.
type Config struct {
	// Listen is the host:port on which this member listens for the others.
	// Required. Port 0 picks a free port only if Advertise is set as well.
	Listen string
	// Advertise is the URL at which the others reach this member: https if there
	// are certificates, http if not. Default: derived from Listen.
	Advertise string
	// Name of the member, human-readable and unique. Default: the host and port
	// of Advertise.
	Name string
	// Initial are the URLs of all members of a new store, this one's included. It
	// counts only while the data directory is empty. Empty: this member begins
	// alone, unless Cores is set.
	Initial []string
	// Cluster is the cluster's id. Members of one Initial list must agree on it.
	Cluster string
	// Cores reaches the cores of the store to join. Nil joins none.
	Cores Cores
	// Tick is the name of a tick; see [Ticks].
	Tick string
	// CertFile and KeyFile are the certificate of this member, which is a server
	// to the others and a client of them; CAFile is the authority of all members'
	// certificates. Set all of them or none.
	CertFile, KeyFile, CAFile string
	// Insecure allows traffic beyond loopback without certificates.
	Insecure bool
}

// Cores reaches the cores of a running cluster.
type Cores interface {
	// Members returns the members of their store.
	Members(ctx context.Context) (*Membership, error)
	// Join adds a member that does not vote yet, and returns all members, the new
	// one included. Called again it returns the same.
	Join(ctx context.Context, name, url string) (*Membership, error)
}

// Membership is who belongs to a store.
type Membership struct {
	// Cluster is etcd's id of the store.
	Cluster uint64
	Members []Member
}

// Member is one member of a store. The tags are etcd's.
type Member struct {
	ID uint64 `json:"id"`
	// Name is empty until the member has started for the first time.
	Name    string   `json:"name"`
	URLs    []string `json:"peerURLs"`
	Learner bool     `json:"isLearner"`
}

// WithDefaults checks the settings and fills in those that have a default. It
// fails with CONFIG_INVALID.
func (c Config) WithDefaults() (Config, error) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "" {
		return c, fault.New(fault.ConfigInvalid, "store.peer_address %q is not host:port", c.Listen)
	}
	scheme := "http"
	if set := c.CertFile != "" || c.KeyFile != "" || c.CAFile != ""; set {
		if c.CertFile == "" || c.KeyFile == "" || c.CAFile == "" {
			return c, fault.New(fault.ConfigInvalid, "store.peer_certificate_file, store.peer_private_key_file and store.peer_ca_certificate_file must be set together")
		}
		scheme = "https"
	}
	if c.Advertise == "" {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			// Nobody can dial an unspecified address such as 0.0.0.0.
			if host, err = os.Hostname(); err != nil {
				return c, fault.Wrap(err, fault.ConfigInvalid, "this machine has no host name to advertise").WithFix("set store.peer_advertise_url")
			}
		}
		if port == "0" {
			return c, fault.New(fault.ConfigInvalid, "store.peer_address needs a port: other members have to find it again").
				WithFix("choose a port, for example 7834")
		}
		c.Advertise = scheme + "://" + net.JoinHostPort(host, port)
	}
	advertised, err := check(c.Advertise, scheme)
	if err != nil {
		return c, err
	}
	c.Advertise, c.Name = advertised, cmp.Or(c.Name, strings.TrimPrefix(advertised, scheme+"://"))
	if strings.ContainsAny(c.Name, "=, \t\n") || len(c.Name) > 128 {
		return c, fault.New(fault.ConfigInvalid, "store.member_name %q must be 1 to 128 characters without spaces, commas and equals signs", c.Name)
	}
	initial := make([]string, 0, len(c.Initial))
	own := len(c.Initial) == 0
	for _, u := range c.Initial {
		if u, err = check(u, scheme); err != nil {
			return c, err
		}
		own = own || u == c.Advertise
		initial = append(initial, u)
	}
	switch {
	case !own:
		return c, fault.New(fault.ConfigInvalid, "store.peers does not contain %s, the URL of this member: %s", c.Advertise, strings.Join(c.Initial, " ")).
			WithFix("list all members, this one included, or set store.peer_advertise_url to its entry")
	case len(initial) > 0 && c.Cores != nil:
		return c, fault.New(fault.ConfigInvalid, "store.peers and store.join exclude each other: one begins a store, the other joins one")
	}
	c.Initial = initial
	return c, c.secure(host)
}

// CheckURL returns the URL of another member as etcd compares it, or
// CONFIG_INVALID if this one could not speak to it.
func (c Config) CheckURL(text string) (string, error) {
	scheme := "http"
	if c.CertFile != "" {
		scheme = "https"
	}
	text, err := check(text, scheme)
	if err != nil || scheme == "https" || c.Insecure {
		return text, err
	}
	if u, err := url.Parse(text); err != nil || !loopback(u.Hostname()) {
		return "", fault.New(fault.ConfigInvalid, "a member at %s is refused: without certificates store traffic stays on this machine", text).
			WithFix("set store.peer_certificate_file and its siblings on all members; or store.insecure_peers if you trust everyone on the network")
	}
	return text, nil
}

// check returns a URL of a member as etcd compares it.
func check(text, scheme string) (string, error) {
	if !strings.Contains(text, "://") {
		text = scheme + "://" + text
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Hostname() == "" || u.Port() == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fault.New(fault.ConfigInvalid, "%q is not the URL of a member: a URL such as %s://10.0.0.1:7834 is expected", text, scheme)
	}
	if u.Scheme != scheme {
		e := fault.New(fault.ConfigInvalid, "the URL of a member %s begins with %s, but there are no certificates", text, u.Scheme)
		if scheme == "https" {
			e = fault.New(fault.ConfigInvalid, "the URL of a member %s begins with %s, but certificates are set", text, u.Scheme)
		}
		return "", e.WithFix("members speak https if store.peer_certificate_file is set, and http if not")
	}
	return u.String(), nil
}

// secure refuses plain traffic that leaves this machine, and certificates that
// cannot be used.
func (c Config) secure(host string) error {
	if c.CertFile == "" {
		advertised, _ := url.Parse(c.Advertise) // checked before
		if c.Insecure || loopback(host) && loopback(advertised.Hostname()) {
			return nil
		}
		return fault.New(fault.ConfigInvalid, "store traffic on %s, advertised as %s, is refused: without certificates anyone who can reach the port controls the store", c.Listen, c.Advertise).
			WithFix("set store.peer_certificate_file, store.peer_private_key_file and store.peer_ca_certificate_file; or store.insecure_peers if you trust everyone on the network")
	}
	info := c.tlsInfo()
	if _, err := info.ServerConfig(); err != nil {
		return fault.Wrap(err, fault.ConfigInvalid, "the certificates for the members of the store cannot be used: %v", err)
	}
	if _, err := info.ClientConfig(); err != nil {
		return fault.Wrap(err, fault.ConfigInvalid, "the certificates for the members of the store cannot be used: %v", err)
	}
	return nil
}

// Exposed reports whether traffic can leave this machine without certificates.
func (c Config) Exposed() bool {
	host, _, _ := net.SplitHostPort(c.Listen)
	advertised, err := url.Parse(c.Advertise)
	return c.CertFile == "" && (err != nil || !loopback(host) || !loopback(advertised.Hostname()))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// TLS returns the certificates as etcd takes them.
func (c Config) TLS() transport.TLSInfo { return c.tlsInfo() }

func (c Config) tlsInfo() transport.TLSInfo {
	if c.CertFile == "" {
		return transport.TLSInfo{}
	}
	return transport.TLSInfo{CertFile: c.CertFile, KeyFile: c.KeyFile, TrustedCAFile: c.CAFile, ClientCertAuth: true}
}
