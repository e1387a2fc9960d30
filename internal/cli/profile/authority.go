package profile

import (
	"crypto/x509"
	"path/filepath"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/pki"
)

// OwnsAuthority reports whether the authority is in the profile, and not in a file of
// its own.
func (p *Profile) OwnsAuthority() bool {
	return strings.HasPrefix(strings.TrimSpace(p.Authority), "-----BEGIN")
}

// Authorities returns the authority of a profile, which can be several certificates;
// none if it has none. A path is taken from the directory of the profile.
func (d Dir) Authorities(p *Profile) ([]*x509.Certificate, error) {
	text, where := []byte(p.Authority), d.file(p.Name)+": authority"
	switch {
	case strings.TrimSpace(p.Authority) == "":
		return nil, nil
	case !p.OwnsAuthority():
		path := d.absolute(p, strings.TrimSpace(p.Authority))
		var err error
		if text, _, err = d.read(path); err != nil {
			return nil, unreadable(err, path)
		}
		where = path
	}
	certs, err := pki.ParsePEM(text)
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "%s: %s", where, err)
	}
	return certs, nil
}

// Certificate returns the paths of the client certificate of a profile and of its key,
// both "" if it has none. Either is taken from the directory of the profile.
func (d Dir) Certificate(p *Profile) (certificate, key string) {
	return d.absolute(p, p.CertificateFile), d.absolute(p, p.PrivateKeyFile)
}

// absolute returns a path of a profile, which is relative to the directory of the
// profile; "" stays.
func (d Dir) absolute(p *Profile, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.file(p.Name)), path)
}
