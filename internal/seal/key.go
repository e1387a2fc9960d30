package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"filippo.io/age"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/internal/wholefile"
)

const (
	// credential is the name of the seal key among the credentials of a service.
	credential = "ruedo-seal-key"
	// maxKey bounds the text of a seal key, in bytes.
	maxKey = 64 << 10
)

// Source says where the seal key of a core is. The first of Text, Credentials and File
// that has one counts.
type Source struct {
	// Text is the key itself; "" if it is elsewhere.
	Text string
	// Credentials is the directory of the service's credentials, or "".
	Credentials string
	// File is the file of the key. [Source.LoadOrMake] makes it.
	File string
}

// Key is a seal key: one identity of age, or several while it is being rotated. It
// does not show its secrets when it is printed.
type Key struct {
	identities []*age.X25519Identity
	from       string // for people to read
}

// Load reads the key. Errors: SEAL_KEY_MISSING; CONFIG_INVALID if it cannot be read as
// one, or can be read by others, too.
func (s Source) Load() (*Key, error) {
	if s.Text != "" {
		return parse(s.Text, "seal.key")
	}
	if s.Credentials != "" {
		path := filepath.Join(s.Credentials, credential)
		data, err := os.ReadFile(path)
		if err == nil {
			return parse(string(data), path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.Wrap(err, fault.ConfigInvalid, "the seal key %s cannot be read: %s", path, text.Cause(err))
		}
	}
	return s.loadFile()
}

func (s Source) loadFile() (*Key, error) {
	f, err := os.Open(s.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.Wrap(err, fault.SealKeyMissing, "the key that opens what is sealed in the store is not there: %s does not exist", s.File).
			WithFix("copy this file from another core of the cluster, or from your backup; if it is elsewhere, set seal.key_file")
	case err != nil:
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the seal key %s cannot be read: %s", s.File, text.Cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the seal key %s cannot be read: %s", s.File, text.Cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fault.New(fault.ConfigInvalid, "the seal key %s is not a file", s.File)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fault.New(fault.ConfigInvalid, "others can read the seal key %s (mode %04o)", s.File, mode).WithFix("chmod 600 %s", s.File)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKey+1))
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the seal key %s cannot be read: %s", s.File, text.Cause(err))
	}
	return parse(string(data), s.File)
}

// LoadOrMake reads the key, and makes its file if there is no key yet. Call it only if
// nothing is sealed yet.
func (s Source) LoadOrMake() (*Key, error) {
	k, err := s.Load()
	if !errors.Is(err, fault.SealKeyMissing) {
		return k, err
	}
	if err := s.create(); err != nil && !errors.Is(err, fs.ErrExist) { // somebody else made it just now
		return nil, fault.Wrap(err, fault.DataDir, "the seal key %s cannot be written: %s", s.File, text.Cause(err))
	}
	return s.loadFile()
}

// create writes a new key, which is on the disk before anything is sealed with it. It
// replaces no file.
func (s Source) create() error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	dir := filepath.Dir(s.File)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := wholefile.Create(s.File)
	if err != nil {
		return err
	}
	defer f.Discard()
	_, err = fmt.Fprintf(f, "# The seal key of a Ruedo cluster. Without it, what is sealed in the store is lost: keep a copy.\n# public key: %s\n%s\n", id.Recipient(), id)
	if err := errors.Join(err, f.Sync()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), s.File); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes what was created in a directory survive a crash.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it cannot
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func parse(content, from string) (*Key, error) {
	broken := func(err error) error { // whose text might quote the key
		return fault.Wrap(err, fault.ConfigInvalid, "the seal key from %s is not an identity of age, which begins with AGE-SECRET-KEY-1", from)
	}
	if len(content) > maxKey {
		return nil, broken(nil)
	}
	// A file that was edited elsewhere has other line ends.
	identities, err := age.ParseIdentities(strings.NewReader(strings.ReplaceAll(strings.TrimSpace(content), "\r", "")))
	if err != nil {
		return nil, broken(err)
	}
	k := &Key{from: from}
	for _, id := range identities {
		classic, ok := id.(*age.X25519Identity)
		if !ok { // age refuses to mix them
			return nil, broken(nil)
		}
		k.identities = append(k.identities, classic)
	}
	return k, nil
}

// Recipients returns the public keys.
func (k *Key) Recipients() []string {
	var list []string
	for _, id := range k.identities {
		list = append(list, id.Recipient().String())
	}
	return list
}

// Format prints where the key is from, whatever the verb.
func (k *Key) Format(s fmt.State, _ rune) { _, _ = fmt.Fprintf(s, "seal key from %s", k.from) }

// open decrypts an age file.
func (k *Key) open(file []byte) ([]byte, error) {
	var identities []age.Identity
	for _, id := range k.identities {
		identities = append(identities, id)
	}
	r, err := age.Decrypt(bytes.NewReader(file), identities...)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return nil, fault.Wrap(err, fault.SealKeyWrong, "the seal key from %s does not open the keyring of this cluster", k.from).
			WithFix("use the seal key of the cores of this cluster")
	}
	if err != nil {
		return nil, damaged(err)
	}
	content, err := io.ReadAll(io.LimitReader(r, maxKeyring))
	if err != nil {
		return nil, damaged(err)
	}
	return content, nil
}

// wrap encrypts for recipients.
func wrap(content []byte, recipients []string) ([]byte, error) {
	var to []age.Recipient
	for _, r := range recipients {
		one, err := age.ParseX25519Recipient(r)
		if err != nil {
			return nil, fault.Wrap(err, fault.ConfigInvalid, "%q is not a public key of age", fault.Cut(r, 80))
		}
		to = append(to, one)
	}
	var file bytes.Buffer
	w, err := age.Encrypt(&file, to...)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return file.Bytes(), nil
}
