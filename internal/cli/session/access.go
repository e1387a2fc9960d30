package session

import (
	"context"
	"crypto/x509"
	"slices"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/assemble"
	"github.com/ruedo-dev/ruedo/internal/cli/credential"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Tokens returns the tokens of the user's profiles.
func (s *Session) Tokens() credential.Dir { return credential.In(s.Getenv) }

func (s *Session) finder() credential.Finder {
	return credential.Finder{Settings: &s.Settings.Settings, Getenv: s.Getenv}
}

// Credential returns what the commands show the cores that the settings name; nil if
// that is nothing.
func (s *Session) Credential() (*credential.Credential, error) {
	target, err := s.Settings.Target()
	if err != nil {
		return nil, err
	}
	return s.finder().Token(target.Profile)
}

// Certificate returns the client certificate for cores that ask for one. The profile
// can be nil.
func (s *Session) Certificate(p *profile.Profile) credential.Files { return s.finder().Certificate(p) }

// access returns where a client of a target connects to, and the options by which it
// shows the token and trusts the cores. Without a token, hosts of this machine become
// sockets.
func (s *Session) access(ctx context.Context, target *settings.Target) (at []string, opts []client.Option, err error) {
	cred, err := s.finder().Token(target.Profile)
	if err != nil {
		return nil, nil, err
	}
	s.cred, at = cred, slices.Clone(target.Hosts)
	if opts, err = s.Believing(target.Profile); err != nil {
		return nil, nil, err
	}
	opts = append(opts, client.WithCluster(target.ClusterID), client.WithRetries(0)) // a command shows what the core says; its user decides
	if cred != nil {
		return at, append(opts, client.WithToken(cred.Token)), nil
	}
	s.sockets = make(map[string]string)
	for i, host := range at {
		if at[i] = s.nearest(ctx, host); at[i] != host {
			s.sockets[at[i]] = host
		}
	}
	// On the machine of a server, what it listens on is here.
	if s.Settings.Application.Mode == ModeServer && !target.Given {
		own := "http://127.0.0.1:" + strconv.Itoa(s.Settings.Server.Port)
		if near := s.nearest(ctx, own); near != own {
			at[0], s.sockets[near] = near, target.Hosts[0]
		}
	}
	return at, opts, nil
}

// URL returns the URL of the core that has answered last, as others reach it: not its
// socket.
func (s *Session) URL(core *client.Client) string {
	if url, ok := s.sockets[core.URL()]; ok {
		return url
	}
	return core.URL()
}

// Believing returns the options of a client that trusts the authority of a profile,
// which can be nil, or else those of the settings or of the system, and shows the
// client certificate. It shows no token.
func (s *Session) Believing(p *profile.Profile) ([]client.Option, error) {
	config, err := s.finder().Authority(p, func(known []*x509.Certificate, newest *x509.Certificate) {
		if !slices.ContainsFunc(known, newest.Equal) {
			s.renewed.Store(&renewal{p, newest})
		}
	})
	if err != nil {
		return nil, err
	}
	opts := s.Certificate(p).Options()
	if config != nil {
		opts = append(opts, client.WithTLS(config))
	}
	return opts, nil
}

// renewal is an authority that takes the place of that of a profile, which vouches for
// it.
type renewal struct {
	profile *profile.Profile
	newest  *x509.Certificate
}

// renew keeps the newest authority of the cluster, so that the profile is good for
// longer than the old one vouches. One in a file is somebody else's.
func (s *Session) renew() {
	r := s.renewed.Load()
	if r == nil || !r.profile.OwnsAuthority() {
		return
	}
	p := *r.profile
	p.Authority = pki.PEM(r.newest)
	s.forgets(s.Profiles().Save(&p))
}

// Other returns a client of the cores of another profile, or of a host, which can be
// "". What counts for the cores that the settings name, such as RUEDO_TOKEN, is not
// shown to these.
func (s *Session) Other(p *profile.Profile, host string) (*client.Client, error) {
	list := []string{host}
	var cluster string
	if p != nil {
		list, cluster = p.Hosts, p.ClusterID
	}
	opts, err := s.Believing(p)
	if err != nil {
		return nil, err
	}
	cred := (*credential.Credential)(nil)
	if p != nil {
		if cred, err = s.finder().Kept(p); err != nil {
			return nil, err
		}
	}
	opts = append(opts, s.finder().KeptCertificate(p).Options()...)
	var urls []string
	for _, host := range list {
		url := assemble.URL(host, s.Settings.Client.Port)
		if cred == nil {
			url = s.nearest(s.Ctx, url)
		}
		urls = append(urls, url)
	}
	if cred != nil {
		opts = append(opts, client.WithToken(cred.Token))
	}
	return client.New(strings.Join(urls, " "), append(opts, client.WithCluster(cluster), client.WithRetries(0))...), nil
}

// nearest returns the socket of a core on this machine that accepts connections, in
// place of its URL, or the URL.
func (s *Session) nearest(ctx context.Context, at string) string {
	if path := s.finder().Socket(ctx, at); path != "" {
		return client.SocketURL(path)
	}
	return at
}
