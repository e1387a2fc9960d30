package pki

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// lookEvery is how often files are looked at, at most.
	lookEvery = 10 * time.Second
	// maxFile bounds a file, in bytes.
	maxFile = 1 << 20
)

// FilesConfig says where files of certificates are, and who hears of problems.
type FilesConfig struct {
	// What names the certificate in errors, for example "the certificate of the core".
	What string
	// CertificateFile and PrivateKeyFile are PEM.
	CertificateFile, PrivateKeyFile string
	// Logger is told of files that cannot be used, once for each change. Default: it
	// is told to nobody.
	Logger *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Pair is a certificate and its key in files that others replace. It looks at them
// when it is asked, and keeps what it has if they cannot be used.
type Pair struct{ files[tls.Certificate] }

// LoadPair reads a pair. It fails with CONFIG_INVALID.
func LoadPair(cfg FilesConfig) (*Pair, error) {
	p := &Pair{files[tls.Certificate]{cfg: cfg, paths: []string{cfg.CertificateFile, cfg.PrivateKeyFile}, parse: func(contents [][]byte) (*tls.Certificate, error) {
		pair, err := tls.X509KeyPair(contents[0], contents[1])
		return &pair, err
	}}}
	return p, p.load()
}

// Certificate returns the newest certificate that could be used.
func (p *Pair) Certificate() *tls.Certificate { return p.get() }

// ClientCertificate is for the field GetClientCertificate of a tls.Config.
func (p *Pair) ClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return p.get(), nil
}

// files is what is in files that others replace.
type files[T any] struct {
	cfg   FilesConfig
	paths []string
	parse func(contents [][]byte) (*T, error)

	current atomic.Pointer[T]
	mu      sync.Mutex // held while somebody looks
	looked  time.Time
	seen    [sha256.Size]byte // hash of what was found then
}

// load looks for the first time.
func (f *files[T]) load() error {
	if f.cfg.Now == nil {
		f.cfg.Now = time.Now
	}
	if f.cfg.Logger == nil {
		f.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.look()
	if err != nil {
		e := fault.Wrap(err, fault.ConfigInvalid, "%s cannot be used: %s", f.cfg.What, err)
		if !slices.ContainsFunc(f.paths, func(path string) bool { return strings.Contains(e.Message, path) }) {
			e.Message += " (" + strings.Join(f.paths, ", ") + ")"
		}
		return e
	}
	return nil
}

// get returns the newest content that could be used. Whoever comes while somebody
// looks does not wait.
func (f *files[T]) get() *T {
	if !f.mu.TryLock() {
		return f.current.Load()
	}
	defer f.mu.Unlock()
	if passed := f.cfg.Now().Sub(f.looked); passed < 0 || passed >= lookEvery {
		switch changed, err := f.look(); {
		case err != nil && changed:
			f.cfg.Logger.Warn("files were replaced by some that cannot be used: those before stay in use", "what", f.cfg.What, "files", f.paths, "error", err)
		case changed:
			f.cfg.Logger.Info("files were replaced and are used from now on", "what", f.cfg.What, "files", f.paths)
		}
	}
	return f.current.Load()
}

// look reads the files. It reports whether they have changed.
func (f *files[T]) look() (changed bool, err error) {
	f.looked = f.cfg.Now()
	var contents [][]byte
	for _, path := range f.paths {
		content, readErr := read(path)
		if readErr != nil && err == nil {
			err = readErr
		}
		contents = append(contents, content)
	}
	found := sha256.Sum256(fmt.Append(bytes.Join(contents, []byte{0}), err))
	if found == f.seen {
		return false, err
	}
	f.seen = found
	if err != nil {
		return true, err
	}
	parsed, err := f.parse(contents)
	if err == nil {
		f.current.Store(parsed)
	}
	return true, err
}

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return content, err
}

// roots are the certificates of authorities in a file.
type roots struct{ files[[]*x509.Certificate] }

func loadRoots(cfg FilesConfig) (*roots, error) {
	r := &roots{files[[]*x509.Certificate]{cfg: cfg, paths: []string{cfg.CertificateFile}, parse: func(contents [][]byte) (*[]*x509.Certificate, error) {
		certs, err := ParsePEM(contents[0])
		return &certs, err
	}}}
	return r, r.load()
}
