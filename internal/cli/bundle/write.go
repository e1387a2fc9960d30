package bundle

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/internal/wholefile"
)

// Options say how to write a bundle.
type Options struct {
	// Format of the documents. Default: JSON for a path that ends in .json, else
	// YAML.
	Format Format
	// Force replaces what is at the path: a file as a whole; of a directory the
	// directories of a bundle, and nothing else in it.
	Force bool
	// Time is the modification time of the files in a tar.
	Time time.Time
}

// Writer writes a bundle next to its path. Nothing is at the path before Close.
type Writer struct {
	path string
	opts Options
	to   sink
}

// sink is one shape of a bundle.
type sink interface {
	// put writes a file.
	put(name string, data []byte) error
	// close completes the bundle and gives it its path.
	close() error
	// remove removes what was written. After close it does nothing.
	remove()
}

// Create begins a bundle. It fails with USAGE if there is something at the path,
// or if it cannot be written.
func Create(path string, opts Options) (*Writer, error) {
	w := &Writer{path: filepath.Clean(path), opts: opts}
	kind := shapeOf(path)
	if kind == documents && opts.Format == "" && filepath.Ext(path) == ".json" {
		w.opts.Format = JSON
	}
	w.opts.Format = cmp.Or(w.opts.Format, YAML)
	if err := w.check(kind); err != nil {
		return nil, err
	}
	var err error
	switch kind {
	case tarball:
		w.to, err = newTar(w.path, w.opts.Time)
	case documents:
		w.to = &stream{path: w.path, format: w.opts.Format}
	default:
		w.to, err = newTree(w.path)
	}
	return w, err
}

// check refuses a path that is taken.
func (w *Writer) check(kind shape) error {
	st, err := os.Stat(w.path)
	switch {
	case w.path == "-":
		return fault.New(fault.Usage, "an export cannot be written to stdout, because it has many files").WithFix("name a directory, or a file that ends in .tar, .tar.zst, .yaml or .json")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return cannot("write", w.path, err)
	case st.IsDir() != (kind == directory):
		return fault.New(fault.Usage, "%s is a %s", w.path, map[bool]string{true: "directory", false: "file"}[st.IsDir()]).WithFix("choose another name")
	case kind != directory:
		if !w.opts.Force {
			return fault.New(fault.Usage, "%s exists", w.path).WithFix("choose another name, or replace it with --force")
		}
		return nil
	}
	found, err := os.ReadDir(w.path)
	switch {
	case err != nil:
		return cannot("write", w.path, err)
	case len(found) > 0 && !w.opts.Force:
		return fault.New(fault.Usage, "%s is not empty", w.path).WithFix("choose another directory, or replace what was exported to it with --force")
	}
	return replaceable(w.path)
}

// replaceable returns an error if the directories of a bundle hold a file that no
// bundle has: it would be lost.
func replaceable(dir string) error {
	for _, sub := range []string{Decorators, Services, modules} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return cannot("write", filepath.Join(dir, sub), err)
		}
		for _, e := range entries {
			if !belongs(sub+"/"+e.Name()) || !e.Type().IsRegular() {
				return fault.New(fault.Usage, "%s does not come from an export, and would be lost", filepath.Join(dir, sub, e.Name())).WithFix("move it, or choose another directory")
			}
		}
	}
	return nil
}

// Document writes a document. dir is [Decorators] or [Services], doc what package
// project makes of a resource.
func (w *Writer) Document(dir, name string, doc any) error {
	data, err := encode(doc, w.opts.Format)
	if err != nil {
		return fault.Wrap(err, fault.FromError(err).Reason, "%s %s: %s", strings.TrimSuffix(dir, "s"), name, err).WithFix("%s", fault.FromError(err).Fix)
	}
	return w.to.put(dir+"/"+name+"."+string(w.opts.Format), data)
}

// Module writes a module. A file of documents has none.
func (w *Writer) Module(digest string, wasm []byte) error {
	if !w.HasModules() {
		return nil
	}
	return w.to.put(moduleFile(digest), wasm)
}

// HasModules reports whether modules are written.
func (w *Writer) HasModules() bool {
	_, ok := w.to.(*stream)
	return !ok
}

// Close completes the bundle and gives it its path.
func (w *Writer) Close() error { return w.to.close() }

// Remove removes what was written, unless Close has succeeded.
func (w *Writer) Remove() { w.to.remove() }

// tree is a directory. It is written next to its path.
type tree struct {
	path, part string
}

func newTree(path string) (*tree, error) {
	part, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-") // mode 0700
	if err != nil {
		return nil, cannot("write", path, err)
	}
	return &tree{path: path, part: part}, nil
}

func (t *tree) put(name string, data []byte) error {
	file := filepath.Join(t.part, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return cannot("write", t.path, err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return cannot("write", filepath.Join(t.path, name), err)
	}
	return nil
}

func (t *tree) close() error {
	for _, sub := range []string{"", Decorators, Services, modules} {
		if err := syncDir(filepath.Join(t.part, sub)); err != nil {
			return cannot("write", t.path, err)
		}
	}
	// A directory that is not there, or is empty, is replaced in one step.
	if err := os.Rename(t.part, t.path); err == nil {
		return nil
	}
	for _, sub := range []string{Decorators, modules, Services} {
		if err := t.swap(sub); err != nil {
			return fault.Wrap(err, fault.Usage, "%s is only partly replaced: %s", t.path, text.Cause(err)).WithFix("export it again")
		}
	}
	return os.RemoveAll(t.part)
}

// swap replaces one directory of the bundle.
func (t *tree) swap(sub string) error {
	for _, move := range [][2]string{
		{filepath.Join(t.path, sub), filepath.Join(t.part, sub+".old")},
		{filepath.Join(t.part, sub), filepath.Join(t.path, sub)},
	} {
		if err := os.Rename(move[0], move[1]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncDir has the files of a directory written to the disk.
func syncDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if err == nil && e.Type().IsRegular() {
			err = syncFile(filepath.Join(dir, e.Name()))
		}
	}
	return err
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (t *tree) remove() { _ = os.RemoveAll(t.part) }

// tarFile is a tar.
type tarFile struct {
	path string
	time time.Time
	file *wholefile.File
	zip  io.WriteCloser
	tar  *tar.Writer
}

func newTar(path string, at time.Time) (*tarFile, error) {
	f, err := wholefile.Create(path)
	if err != nil {
		return nil, cannot("write", path, err)
	}
	t := &tarFile{path: path, time: at, file: f}
	var to io.Writer = f
	if compressed(path) {
		zip, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.remove()
			return nil, fault.Wrap(err, fault.Internal, "cannot begin a tar")
		}
		t.zip, to = zip, zip
	}
	t.tar = tar.NewWriter(to)
	return t, nil
}

func (t *tarFile) put(name string, data []byte) error {
	err := t.tar.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o600, ModTime: t.time, Format: tar.FormatPAX})
	if err == nil {
		_, err = t.tar.Write(data)
	}
	if err != nil {
		return cannot("write", t.path, err)
	}
	return nil
}

func (t *tarFile) close() error {
	err := t.tar.Close()
	if t.zip != nil {
		err = errors.Join(err, t.zip.Close())
	}
	if err == nil {
		err = t.file.Keep()
	}
	if err != nil {
		return cannot("write", t.path, err)
	}
	return nil
}

func (t *tarFile) remove() { t.file.Discard() }

// stream is a file of documents.
type stream struct {
	path   string
	format Format
	docs   [][]byte
}

func (s *stream) put(_ string, data []byte) error {
	s.docs = append(s.docs, data)
	return nil
}

func (s *stream) close() error {
	data := bytes.Join(s.docs, []byte("---\n"))
	if s.format == JSON {
		var list []json.RawMessage
		for _, d := range s.docs {
			list = append(list, d)
		}
		var err error
		if data, err = json.MarshalIndent(list, "", "  "); err != nil {
			return fault.Wrap(err, fault.Internal, "cannot encode the documents")
		}
		data = append(data, '\n')
	}
	f, err := wholefile.Create(s.path)
	if err == nil {
		defer f.Discard()
		if _, err = f.Write(data); err == nil {
			err = f.Keep()
		}
	}
	if err != nil {
		return cannot("write", s.path, err)
	}
	return nil
}

func (s *stream) remove() {}

// cannot returns the error of a file.
func cannot(what, path string, err error) *fault.Error {
	return fault.Wrap(err, fault.Usage, "cannot %s %s: %s", what, path, text.Cause(err))
}
