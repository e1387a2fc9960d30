package credential

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/socket"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Finder finds what a process shows to cores and how it verifies them: in its settings,
// or in a profile of the cores if there is one.
type Finder struct {
	Settings *settings.Settings
	// Getenv returns the value of an environment variable, or "".
	Getenv func(name string) string
	// Process says that it is for a runner or a core, which has a certificate of its
	// own (tls.certificate_file) and shows that.
	Process bool
}

// Token returns the credential that counts; nil if there is none. The profile can be
// nil.
func (f Finder) Token(p *profile.Profile) (*Credential, error) {
	set := f.Settings.Client
	return find(Places{Env: f.Getenv(settings.EnvToken), File: set.TokenFile, Command: set.TokenCommand}, In(f.Getenv), p)
}

// Kept returns the credential of a profile alone; nil if there is none.
func (f Finder) Kept(p *profile.Profile) (*Credential, error) { return find(Places{}, In(f.Getenv), p) }

func find(places Places, dir Dir, p *profile.Profile) (*Credential, error) {
	if p != nil {
		places.Profile, places.Dir = p.Name, dir
	}
	cred, err := places.Find()
	if err == nil && cred != nil && cred.Profile != "" {
		err = unchangeable(p)
	}
	return cred, err
}

// unchangeable fails if others could have changed where the token of a profile goes.
func unchangeable(p *profile.Profile) error {
	if !p.Changeable {
		return nil
	}
	return fault.New(fault.ConfigInvalid, "others can change profile %s, and so the hosts that its token goes to", p.Name).
		WithFix("look at it (ruedo get profiles %s), then: %s", p.Name, p.Warning[strings.LastIndex(p.Warning, "chmod"):])
}

// Authority returns the configuration of a client that trusts the authority of a
// profile, which can be nil, or else that of the settings; nil is that of the system.
// found, if it is not nil, gets the authorities of the profile and the newest one of
// its cluster, in each handshake that succeeded.
func (f Finder) Authority(p *profile.Profile, found func(known []*x509.Certificate, newest *x509.Certificate)) (*tls.Config, error) {
	if p != nil {
		certs, err := profile.In(f.Getenv).Authorities(p)
		if err != nil {
			return nil, err
		}
		if len(certs) > 0 {
			return pki.Trusting(func() []*x509.Certificate { return certs }, func(newest *x509.Certificate) {
				if found != nil {
					found(certs, newest)
				}
			}), nil
		}
	}
	if f.Settings.TLS.CAFile == "" {
		return nil, nil
	}
	return pki.CAFile(f.Settings.TLS.CAFile)
}

// Files are those of a client certificate and its key. The zero Files are none.
type Files struct{ Certificate, PrivateKey string }

// Certificate returns the client certificate to show to cores that ask for one. The
// profile can be nil.
func (f Finder) Certificate(p *profile.Profile) Files {
	own := Files{}
	if f.Process {
		own = Files{f.Settings.TLS.CertFile, f.Settings.TLS.KeyFile}
	}
	return cmp.Or(Files{f.Settings.Client.CertFile, f.Settings.Client.KeyFile}, f.KeptCertificate(p), own)
}

// KeptCertificate returns that of a profile alone.
func (f Finder) KeptCertificate(p *profile.Profile) Files {
	if p == nil {
		return Files{}
	}
	certificate, key := profile.In(f.Getenv).Certificate(p)
	return Files{certificate, key}
}

// Options returns the options of a client that shows the certificate.
func (f Files) Options() []client.Option {
	if f == (Files{}) {
		return nil
	}
	return []client.Option{client.WithCertificate(f.Certificate, f.PrivateKey)}
}

// On returns a configuration with which the certificate is shown; nil is that of the
// system. It fails with CONFIG_INVALID if the certificate cannot be used now, so that a
// process that runs for long does not start with it.
func (f Files) On(cfg *tls.Config) (*tls.Config, error) {
	if f == (Files{}) {
		return cfg, nil
	}
	files := pki.FilesConfig{What: "the client certificate", CertificateFile: f.Certificate, PrivateKeyFile: f.PrivateKey}
	if _, err := pki.LoadClientPair(files); err != nil {
		return nil, err
	}
	return pki.Showing(cfg, files), nil
}

// Absolute returns the files by paths that are good in every directory.
func (f Files) Absolute() Files {
	for _, path := range []*string{&f.Certificate, &f.PrivateKey} {
		if *path == "" {
			continue
		}
		if abs, err := filepath.Abs(*path); err == nil {
			*path = abs
		}
	}
	return f
}

// Socket returns the path of the socket of the core at a URL, by which its owner needs
// no token; "" if there is none on this machine.
func (f Finder) Socket(ctx context.Context, url string) string {
	return socket.Find(ctx, socket.Dirs(f.Getenv), url)
}
