package login

import (
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"sync/atomic"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/credential"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/loopback"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// cluster is what to log in to.
type cluster struct {
	url  string // of its first core
	list string // the URLs of all that are known
	id   string
	// authority is the newest one of its certificates; nil if those are of others.
	authority atomic.Pointer[x509.Certificate]
	opts      []client.Option // by which a client trusts it
	// certificate is shown to cores that ask for one.
	certificate credential.Files
}

// client returns a client that shows nothing, or what the options say.
func (at *cluster) client(more ...client.Option) *client.Client {
	opts := append([]client.Option{client.WithCluster(at.id), client.WithRetries(0)}, at.opts...)
	opts = append(opts, at.certificate.Options()...)
	return client.New(at.list, append(opts, more...)...)
}

// cluster finds the cluster, and finds out whether it can be trusted. Nothing secret
// is sent before that.
func (c *Login) cluster(s *session.Session) (*cluster, error) {
	hosts := []string{c.URL}
	if c.URL == "" {
		t, err := s.Settings.Target()
		switch {
		case err != nil:
			return nil, err
		case !t.Given:
			return nil, fault.New(fault.Usage, "no core is named").WithFix("ruedo login https://HOST:PORT USER")
		}
		hosts = t.Hosts
	}
	secure := false
	for i, host := range hosts {
		hosts[i] = s.CoreURL(host)
		u, err := url.Parse(hosts[i])
		switch {
		case err != nil || u.Host == "":
			return nil, fault.New(fault.Usage, "%q is not the URL of a core", fault.Cut(host, 128)).WithFix("ruedo login https://HOST:PORT USER")
		case u.Scheme == "https":
			secure = true
		case !loopback.Is(u.Host):
			return nil, fault.New(fault.PlaintextRefused, "no password or token is sent to %s: without TLS, everybody on the way could read it", hosts[i]).
				WithFix("use https, or log in on the machine of the core")
		}
	}
	p := known(s, hosts[0])
	at := &cluster{url: hosts[0], list: strings.Join(hosts, " "), certificate: s.Certificate(p)}
	if secure {
		if err := c.trust(s, at, p); err != nil {
			return nil, err
		}
	}
	hello, err := at.client().Login.Hello(s.Ctx, &ruedov1.HelloRequest{})
	switch {
	case err != nil:
		return nil, err
	case !hello.GetLogin():
		return nil, fault.New(fault.Usage, "cluster %s has no login: everybody who reaches it may do everything", output.Safe(hello.GetCluster())).
			WithFix("use it as it is: ruedo get services --host %s", at.url)
	}
	at.id = hello.GetCluster()
	return at, nil
}

// trust finds out how a core is trusted: by a pin, by a profile that names it, by the
// authorities of the settings or of the system, or by asking the user. The profile can
// be nil.
func (c *Login) trust(s *session.Session, at *cluster, p *profile.Profile) error {
	found := func(newest *x509.Certificate) { at.authority.Store(newest) }
	if c.Pin != "" {
		at.opts = []client.Option{client.WithTLS(pki.Pinned(c.Pin, found))}
		return nil
	}
	var err error
	if p != nil {
		certs, err := s.Profiles().Authorities(p)
		if err != nil {
			return err
		}
		if len(certs) > 0 {
			at.opts = []client.Option{client.WithTLS(pki.Trusting(func() []*x509.Certificate { return certs }, found))}
			return nil
		}
	}
	if at.opts, err = s.Believing(nil); err != nil {
		return err
	}
	_, err = at.client().ClusterID(s.Ctx)
	if !errors.Is(err, fault.AuthorityUnknown) {
		return err
	}
	at.opts = []client.Option{client.WithTLS(pki.Offered(found))}
	if _, offered := at.client().ClusterID(s.Ctx); offered != nil || at.authority.Load() == nil {
		return err // no authority of a cluster stands behind it
	}
	pin := pki.Pin(at.authority.Load())
	if err := confirm(s, at, pin, err); err != nil {
		return err
	}
	at.opts = []client.Option{client.WithTLS(pki.Pinned(pin, found))}
	return nil
}

// confirm has the user compare the pin of an authority that nothing is known of.
func confirm(s *session.Session, at *cluster, pin string, unknown error) error {
	if !s.CanAsk() {
		return fault.Wrap(unknown, fault.AuthorityUnknown, "nothing says that the core at %s can be trusted, and there is nobody to ask", at.url).
			WithFix("log in with a link; or, if you know that this is its pin: --pin %s", pin)
	}
	s.Infof("Nothing says yet that the core at %s can be trusted. Its authority has the pin", at.url)
	s.Infof("  %s", pin)
	s.Infof("Compare it with: ruedo get authority, on the machine of the core.")
	if err := s.Confirm(false, "Is it the same?"); err != nil {
		if s.Ctx.Err() != nil {
			return err
		}
		return fault.Wrap(unknown, fault.AuthorityUnknown, "the authority of the core at %s was not confirmed, so nothing was sent to it", at.url)
	}
	return nil
}

// known returns a profile that names a core; nil if there is none.
func known(s *session.Session, url string) *profile.Profile {
	list, _ := s.Profiles().List() // those that can be read
	for _, p := range list {
		if lists(s, p, url) {
			return p
		}
	}
	return nil
}

// lists reports whether a profile names a core.
func lists(s *session.Session, p *profile.Profile, url string) bool {
	for _, host := range p.Hosts {
		if strings.EqualFold(s.CoreURL(host), url) {
			return true
		}
	}
	return false
}
