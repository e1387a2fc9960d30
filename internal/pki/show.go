package pki

import (
	"crypto/tls"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// LoadClientPair reads the pair by which a client opens a [Lock]. It fails with
// CONFIG_INVALID, also if everybody on this machine can read the key, and if the
// certificate is not valid now.
func LoadClientPair(cfg FilesConfig) (*Pair, error) {
	if cfg.CertificateFile == "" || cfg.PrivateKeyFile == "" {
		return nil, fault.New(fault.ConfigInvalid, "%s has only one of its two files: a certificate and its private key belong together", cfg.What)
	}
	st, err := os.Stat(cfg.PrivateKeyFile)
	if err == nil && st.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows" {
		return nil, fault.New(fault.ConfigInvalid, "everybody on this machine can read or change the private key in %s (mode %04o), so it is not used", cfg.PrivateKeyFile, st.Mode().Perm()).
			WithFix("chmod 600 %s; then have the certificate replaced, since others may have the key", cfg.PrivateKeyFile)
	}
	p, err := LoadPair(cfg)
	if err != nil {
		return nil, err
	}
	now, c := p.cfg.Now(), p.get().Leaf
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return nil, fault.New(fault.ConfigInvalid, "%s in %s is valid from %s to %s, and the clock here says %s", cfg.What, cfg.CertificateFile,
			c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)).
			WithFix("replace it by a new one")
	}
	return p, nil
}

// Showing returns a configuration with which a pair is shown to cores that ask for one;
// cfg can be nil for that of the system. The files are read when the first core asks,
// and a handshake fails with the error of LoadClientPair.
func Showing(cfg *tls.Config, files FilesConfig) *tls.Config {
	if cfg == nil {
		cfg = System()
	} else {
		cfg = cfg.Clone()
	}
	s := &shown{files: files}
	cfg.GetClientCertificate = s.certificate
	return cfg
}

// shown is a pair that is read when it is needed.
type shown struct {
	files FilesConfig

	mu   sync.Mutex
	pair *Pair // nil: it could not be read yet
}

func (s *shown) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pair == nil {
		p, err := LoadClientPair(s.files)
		if err != nil {
			return nil, err
		}
		s.pair = p
	}
	return s.pair.get(), nil
}

// refusals say what a core that asks for a client certificate does not like, by the
// word of TLS for it, and what to do.
var refusals = map[string][2]string{
	"certificate required":          {"the core asks for a client certificate, and none was shown", "name one in client.certificate_file, and its key in client.private_key_file"},
	"expired certificate":           {"the core asks for a client certificate, and that of this machine has expired", "replace it by a new one"},
	"unknown certificate authority": {"the core asks for a client certificate, and that of this machine is not of an authority that it trusts", "use one of the authority in tls.ca_certificate_file of the core"},
}

// refused returns the error for a client certificate that a core does not accept, by
// the word of TLS for it.
func refused(err error, alert string) *fault.Error {
	texts, ok := refusals[alert]
	if !ok {
		texts = [2]string{"the core asks for a client certificate, and does not accept that of this machine: " + alert, "use one for clients that has a name in tls.client_names of the core"}
	}
	return fault.Wrap(err, fault.Unauthenticated, "%s", texts[0]).WithFix("%s", texts[1])
}
