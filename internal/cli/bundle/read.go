package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// Limits bound what a bundle may hold. A zero field means its default.
type Limits struct {
	// Document is the size of the largest file of documents, in bytes. Default:
	// 256 MiB.
	Document int64
	// Module is the size of the largest module, in bytes. Default: 1 GiB.
	Module int64
	// Files is how many files there are at most. Default: 200,000.
	Files int
	// Bytes bounds all files of a tar together. Default: 64 GiB.
	Bytes int64
}

func (l Limits) withDefaults() Limits {
	return Limits{cmp.Or(l.Document, 256<<20), cmp.Or(l.Module, 1<<30), cmp.Or(l.Files, 200_000), cmp.Or(l.Bytes, 64<<30)}
}

// Bundle is one that is read.
type Bundle struct {
	// Documents are the paths of the files with documents: those at the top,
	// then decorators, then services, each in the order of their names.
	Documents []string

	name    string // as the user named it
	dir     string // where its files are
	temp    string // to remove; "" if the files are the user's
	modules map[string]string
	limits  Limits
}

// Open finds out what is in a bundle; a tar is unpacked into a temporary
// directory. It fails with USAGE for a path that cannot be read, and with
// BACKUP_INVALID for one that is not a bundle. Close it.
func Open(name string, l Limits) (*Bundle, error) {
	b := &Bundle{name: name, dir: name, modules: map[string]string{}, limits: l.withDefaults()}
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, cannot("read", name, err)
	case st.IsDir():
		err = b.list()
	case shapeOf(name) == documents:
		b.Documents, b.dir = []string{name}, filepath.Dir(name)
		err = b.listModules()
	default:
		if err = b.unpack(); err == nil {
			err = b.list()
		}
	}
	if err == nil && len(b.Documents) == 0 {
		err = b.invalid("it has no documents").WithFix("name a directory or a file that an export has written")
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Close removes what Open has unpacked.
func (b *Bundle) Close() {
	if b.temp != "" {
		_ = os.RemoveAll(b.temp)
	}
}

// Read returns the content of a file of Documents.
func (b *Bundle) Read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, cannot("read", file, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, b.limits.Document+1))
	switch {
	case err != nil:
		return nil, cannot("read", file, err)
	case int64(len(data)) > b.limits.Document:
		return nil, b.tooLarge(file, "a file of documents", b.limits.Document)
	}
	return data, nil
}

// Name returns a file of the bundle as a user knows it.
func (b *Bundle) Name(file string) string {
	if rel, err := filepath.Rel(b.temp, file); b.temp != "" && err == nil {
		return b.name + ":" + rel
	}
	return file
}

// Has reports whether a module is in the bundle.
func (b *Bundle) Has(digest string) bool { return b.modules[digest] != "" }

// Module returns a module. It fails with BACKUP_INVALID if its bytes do not have
// the digest that its name says.
func (b *Bundle) Module(digest string) ([]byte, error) {
	file := b.modules[digest]
	f, err := os.Open(file)
	if err != nil {
		return nil, cannot("read", file, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, b.limits.Module+1))
	switch {
	case err != nil:
		return nil, cannot("read", file, err)
	case int64(len(data)) > b.limits.Module:
		return nil, b.tooLarge(file, "a module", b.limits.Module)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest {
		return nil, b.invalid("%s is damaged: its digest is %s", b.Name(file), hex.EncodeToString(sum[:])).WithFix("export it again")
	}
	return data, nil
}

// list finds the files of a directory.
func (b *Bundle) list() error {
	for _, sub := range []string{"", Decorators, Services} {
		entries, err := os.ReadDir(filepath.Join(b.dir, sub))
		if err != nil && (sub == "" || !errors.Is(err, fs.ErrNotExist)) {
			return cannot("read", filepath.Join(b.dir, sub), err)
		}
		for _, e := range entries {
			if belongs(path.Join(sub, e.Name())) && !e.IsDir() {
				b.Documents = append(b.Documents, filepath.Join(b.dir, sub, e.Name()))
			}
		}
	}
	if err := b.listModules(); err != nil {
		return err
	}
	if n := len(b.Documents) + len(b.modules); n > b.limits.Files {
		return b.invalid("it has %d files, over the limit of %d", n, b.limits.Files)
	}
	return nil
}

func (b *Bundle) listModules() error {
	entries, err := os.ReadDir(filepath.Join(b.dir, modules))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cannot("read", filepath.Join(b.dir, modules), err)
	}
	for _, e := range entries {
		if digest, ok := digestOf(e.Name()); ok && !e.IsDir() {
			b.modules[digest] = filepath.Join(b.dir, modules, e.Name())
		}
	}
	return nil
}

// zstdMagic is what a file compressed with Zstandard begins with.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// unpack unpacks a tar.
func (b *Bundle) unpack() (err error) {
	f, err := os.Open(b.name)
	if err != nil {
		return cannot("read", b.name, err)
	}
	defer f.Close()
	if b.temp, err = os.MkdirTemp("", "ruedo-import-"); err != nil { // mode 0700
		return cannot("write", os.TempDir(), err)
	}
	b.dir = b.temp
	in := bufio.NewReader(f)
	var from io.Reader = in
	if magic, _ := in.Peek(len(zstdMagic)); bytes.Equal(magic, zstdMagic) {
		zip, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return fault.Wrap(err, fault.Internal, "cannot begin to read a tar")
		}
		defer zip.Close()
		from = zip
	}
	root, err := os.OpenRoot(b.temp)
	if err != nil {
		return cannot("write", b.temp, err)
	}
	defer root.Close()
	t := tar.NewReader(from)
	files, total := 0, int64(0)
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && files == 0:
			return b.invalid("it is neither a directory nor a tar nor a file of documents").WithFix("name a directory or a file that an export has written")
		case err != nil:
			return b.cut(files)
		case h.Typeflag == tar.TypeDir:
			continue
		}
		name := path.Clean(h.Name)
		limit, what := b.limits.Document, "a file of documents"
		if path.Dir(name) == modules {
			limit, what = b.limits.Module, "a module"
		}
		files++
		total += h.Size
		switch {
		case files == 1 && name == backupHeader:
			return b.invalid("it is a backup, not an export").WithFix("ruedo db restore %s", b.name)
		case h.Typeflag != tar.TypeReg || !belongs(name):
			return b.invalid("it holds %s, which no export has", output.Quote(h.Name))
		case h.Size > limit:
			return b.tooLarge(name, what, limit)
		case files > b.limits.Files:
			return b.invalid("it has more than %d files, the limit", b.limits.Files)
		case total > b.limits.Bytes:
			return b.invalid("it has more than %s, the limit", limits.FormatSize(uint64(b.limits.Bytes)))
		}
		if err := unpackFile(root, name, t); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return b.cut(files)
			}
			return cannot("write", filepath.Join(b.temp, name), err)
		}
	}
}

// backupHeader is the first file of a backup.
const backupHeader = "ruedo-backup.json"

func unpackFile(root *os.Root, name string, from io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

func (b *Bundle) cut(files int) error {
	return b.invalid("it is cut off after %d files", files).WithFix("export it again")
}

func (b *Bundle) tooLarge(file, what string, limit int64) error {
	return b.invalid("%s: %s is over the limit of %s", output.Quote(b.Name(file)), what, limits.FormatSize(uint64(limit)))
}

func (b *Bundle) invalid(format string, args ...any) *fault.Error {
	e := fault.New(fault.BackupInvalid, format, args...)
	e.Message = b.name + " cannot be imported: " + e.Message
	return e
}
