package assemble

import (
	"context"
	"crypto/tls"

	"github.com/ruedo-dev/ruedo/internal/cli/credential"
	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// access says how this process and the cores of its cluster know each other.
type access struct {
	find  credential.Finder
	token client.Token // nil: nothing is shown
	tls   *tls.Config  // nil: the system's
}

// access returns what the settings say.
func (a *Assembler) access() (*access, error) {
	known := &access{find: credential.Finder{Settings: &a.Settings.Settings, Getenv: a.getenv, Process: true}}
	cred, err := known.find.Token(nil) // that of a profile is a person's, and not for processes
	if err != nil {
		return nil, err
	}
	if cred != nil {
		known.token = cred.Token
	}
	p, err := a.profile()
	if err != nil {
		return nil, err
	}
	if known.tls, err = known.find.Authority(p, nil); err != nil {
		return nil, err
	}
	known.tls, err = known.find.Certificate(nil).On(known.tls)
	return known, err
}

// profile returns the profile whose authority is believed; nil if there is none. The
// cores that a process is told do not come from a profile, so an authority that it is
// told counts for more.
func (a *Assembler) profile() (*profile.Profile, error) {
	if a.Settings.TLS.CAFile != "" {
		return nil, nil
	}
	target, err := a.Settings.Target()
	return target.Profile, err
}

// runner returns how a runner and the core at a URL know each other.
func (k *access) runner(url string) runner.Access {
	if k.token != nil {
		return runner.Access{Token: k.token, TLS: k.tls}
	}
	return runner.Access{TLS: k.tls, Socket: k.find.Socket(context.Background(), url)}
}

// client returns a client of the core at a URL.
func (k *access) client(ctx context.Context, url string, opts ...client.Option) *client.Client {
	if k.tls != nil {
		opts = append(opts, client.WithTLS(k.tls))
	}
	if k.token != nil {
		opts = append(opts, client.WithToken(k.token))
	} else if path := k.find.Socket(ctx, url); path != "" && !hosts.IsSocket(url) {
		url = client.SocketURL(path)
	}
	return client.New(url, opts...)
}
