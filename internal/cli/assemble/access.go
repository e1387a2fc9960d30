package assemble

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	"github.com/ruedo-dev/ruedo/internal/cli/credential"
	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/socket"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// access says how this process and the cores of its cluster know each other.
type access struct {
	token client.Token // nil: nothing is shown
	tls   *tls.Config  // nil: the system's
	dirs  []string     // of sockets
}

// access returns what the settings say. The token of a profile is a person's, and not
// for processes.
func (a *Assembler) access() (*access, error) {
	s := a.Settings.Client
	known := &access{dirs: socket.Dirs(a.getenv)}
	cred, err := credential.Places{Env: a.getenv(settings.EnvToken), File: s.TokenFile, Command: s.TokenCommand}.Find()
	if err != nil {
		return nil, err
	}
	if cred != nil {
		known.token = cred.Token
	}
	known.tls, err = a.believed()
	return known, err
}

// believed returns the configuration of TLS connections to cores; nil for the system's.
func (a *Assembler) believed() (cfg *tls.Config, err error) {
	s := a.Settings.TLS
	if s.CAFile != "" {
		cfg, err = pki.CAFile(s.CAFile)
	} else {
		cfg, err = a.profiled()
	}
	if err != nil || s.CertFile == "" {
		return cfg, err
	}
	if cfg == nil {
		cfg = pki.System()
	}
	if s.KeyFile == "" {
		return nil, fault.New(fault.ConfigInvalid, "tls.certificate_file and tls.private_key_file must be set together")
	}
	pair, err := pki.LoadPair(pki.FilesConfig{What: "the certificate for cores", CertificateFile: s.CertFile, PrivateKeyFile: s.KeyFile})
	if err != nil {
		return nil, err
	}
	cfg.GetClientCertificate = pair.ClientCertificate
	return cfg, nil
}

// profiled returns the configuration of a client that trusts the authority of the
// profile; nil if there is none.
func (a *Assembler) profiled() (*tls.Config, error) {
	target, err := a.Settings.Target()
	if err != nil || target.Profile == nil {
		return nil, err
	}
	certs, err := profile.In(a.getenv).Authorities(target.Profile)
	if err != nil || len(certs) == 0 {
		return nil, err
	}
	return pki.Trusting(func() []*x509.Certificate { return certs }, nil), nil
}

// runner returns how a runner and the core at a URL know each other.
func (k *access) runner(url string) runner.Access {
	if k.token != nil {
		return runner.Access{Token: k.token, TLS: k.tls}
	}
	return runner.Access{TLS: k.tls, Socket: socket.Find(context.Background(), k.dirs, url)}
}

// client returns a client of the core at a URL.
func (k *access) client(ctx context.Context, url string, opts ...client.Option) *client.Client {
	if k.tls != nil {
		opts = append(opts, client.WithTLS(k.tls))
	}
	if k.token != nil {
		opts = append(opts, client.WithToken(k.token))
	} else if path := socket.Find(ctx, k.dirs, url); path != "" && !hosts.IsSocket(url) {
		url = client.SocketURL(path)
	}
	return client.New(url, opts...)
}
