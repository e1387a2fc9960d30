package assemble

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/door"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/loopback"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/seal"
	"github.com/ruedo-dev/ruedo/internal/socket"
	"github.com/ruedo-dev/ruedo/internal/token"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Values of auth.mode and of tls.mode.
const (
	auto = "auto"
	on   = "on"
	off  = "off"
)

// login returns who may use the cluster of a core. fresh is what a cluster that is new
// gets unless the settings say.
func (a *Assembler) login(fresh bool) (core.Login, error) {
	mode := a.Settings.Auth.Mode
	l := core.Login{New: fresh, Seal: a.seal(), Hasher: a.Hasher}
	if mode != auto {
		l.New, l.Strict = mode == on, true
	}
	if file := a.Settings.Auth.AdminTokenFile; file != "" {
		var err error
		if l.AdminToken, err = client.TokenFile(file)(context.Background()); err == nil {
			_, err = token.Parse(token.Bearer, l.AdminToken)
		}
		if err != nil {
			return l, fault.Wrap(err, fault.ConfigInvalid, "auth.admin_token_file %s has no token that is good: %s", file, err).
				WithFix("ruedo create token --offline > %[1]s && chmod 600 %[1]s", file)
		}
	}
	return l, nil
}

// seal returns where the seal key is.
func (a *Assembler) seal() seal.Source {
	return seal.Source{
		Text:        a.getenv(settings.EnvSealKey),
		Credentials: a.getenv("CREDENTIALS_DIRECTORY"),
		File:        cmp.Or(a.Settings.Seal.KeyFile, filepath.Join(a.Settings.Application.WorkingDir, "seal.key")),
	}
}

// tls returns how the ports of a core are encrypted; nil if they are not.
func (a *Assembler) tls(addr string, log *slog.Logger) (*door.TLS, error) {
	s := a.Settings.TLS
	if s.Mode == off || s.Mode == auto && loopback.Is(addr) && s.CertFile == "" {
		if s.CertFile != "" || s.KeyFile != "" {
			return nil, fault.New(fault.ConfigInvalid, "a certificate is set, but TLS is off").WithFix("tls.mode: on")
		}
		if s.ClientCertificates == "require" {
			return nil, fault.New(fault.ConfigInvalid, "client certificates are required, but there is no TLS on %s", addr).WithFix("tls.mode: on")
		}
		return nil, nil
	}
	cfg := &door.TLS{Optional: s.Mode == auto, Names: s.Names}
	if (s.CertFile == "") != (s.KeyFile == "") {
		return nil, fault.New(fault.ConfigInvalid, "tls.certificate_file and tls.private_key_file must be set together")
	}
	var err error
	if s.CertFile != "" {
		cfg.Pair, err = pki.LoadPair(pki.FilesConfig{What: "the certificate of the core", CertificateFile: s.CertFile, PrivateKeyFile: s.KeyFile, Logger: log})
		if err != nil {
			return nil, err
		}
	}
	if s.ClientCertificates == "require" {
		if s.CAFile == "" {
			return nil, fault.New(fault.ConfigInvalid, "client certificates are required, but nothing says which authority issues them").WithFix("set tls.ca_certificate_file")
		}
		cfg.Lock, err = pki.NewLock(pki.FilesConfig{What: "the authority of client certificates", CertificateFile: s.CAFile, Logger: log}, s.ClientNames)
	}
	return cfg, err
}

// socket returns where the socket of a core is; nil if it has none.
func (a *Assembler) socket() *socket.Config {
	if path := a.Settings.Server.Socket; path != off {
		return &socket.Config{Path: path, Dirs: socket.Dirs(a.getenv)}
	}
	return nil
}

// entrance is who may use a core that listens, and how it is reached.
type entrance struct {
	core.Login
	TLS    *door.TLS
	Socket *socket.Config
}

// entrance returns that of a core that listens on an address. fresh is what a cluster
// that is new gets unless the settings say: whether callers have to log in.
func (a *Assembler) entrance(addr string, fresh bool, log *slog.Logger) (d entrance, err error) {
	if d.Login, err = a.login(fresh); err != nil {
		return d, err
	}
	d.TLS, err = a.tls(addr, log)
	d.Socket = a.socket()
	return d, err
}

// getenv returns the value of an environment variable, or "".
func (a *Assembler) getenv(name string) string {
	if a.Getenv == nil {
		return ""
	}
	return a.Getenv(name)
}
