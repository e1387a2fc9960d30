// Package archive is a backup as a file: the catalog of a cluster with its
// modules, as a tar compressed with Zstandard, so that common tools list it.
//
//	w, err := archive.NewWriter(file, archive.Header{Cluster: "main", Time: now})
//	err = w.Add(archive.Entry{Path: "services/greet", Value: stored})
//	summary, err := w.Close()
//
//	summary, err := archive.Verify(file, archive.Limits{})
//
// # Layout
//
//	ruedo-backup.json                             the header
//	services/<name>  revisions/<name>/<n>         as they are stored: proto bytes
//	decorators/<name>  decorator-revisions/<name>/<n>
//	modules/<sha256>                              Wasm
//	ruedo-summary.json                            counts and a digest of all of it; written last
//
// The path of an entry is its key in the store, without the cluster. An archive
// that was cut off has no summary, and one that was changed has another digest:
// both are BACKUP_INVALID. An archive from a stranger is read within [Limits].
//
// A [Writer] and a [Reader] are for one goroutine at a time.
package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/names"
)

// Format is the layout that this program writes and reads.
const Format = 1

// Names of the first and the last file.
const (
	headerName  = "ruedo-backup.json"
	summaryName = "ruedo-summary.json"
)

// modules is the directory of modules.
const modules = "modules/"

// Header says what an archive is.
type Header struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	// Store is the short id of the store; empty if it has none.
	Store string `json:"store,omitempty"`
	// StoreFormat is the storage format of the values; zero means 1.
	StoreFormat uint32    `json:"store_format,omitempty"`
	Time        time.Time `json:"time"`
	// Revision is the revision of the store as of which everything was read.
	Revision int64 `json:"store_revision"`
	// Version is that of the program that wrote the archive.
	Version string `json:"version"`
}

// Summary says how much is in an archive.
type Summary struct {
	Services           int `json:"services"`
	Revisions          int `json:"revisions"`
	Decorators         int `json:"decorators"`
	DecoratorRevisions int `json:"decorator_revisions"`
	Modules            int `json:"modules"`
	// Bytes of all values and modules.
	Bytes int64 `json:"bytes"`
	// SHA256 is the digest of all paths and values, in their order.
	SHA256 string `json:"sha256"`
}

// Entry is a value of the store, or a module.
type Entry struct {
	Path  string
	Value []byte
}

// Module returns the digest of a module; false for a value of the store.
func (e Entry) Module() (digest string, ok bool) {
	digest, ok = strings.CutPrefix(e.Path, modules)
	return digest, ok && names.ValidDigest(digest)
}

// ModuleEntry returns a module as an entry.
func ModuleEntry(digest string, wasm []byte) Entry { return Entry{modules + digest, wasm} }

// Key returns the key of a value in a cluster; false for a module, and for a
// path that is not a key of the catalog.
func (e Entry) Key(space keys.Space) (keys.Key, bool) {
	k, ok := space.Parse(string(space) + e.Path)
	switch k.Kind {
	case keys.KindService, keys.KindRevision, keys.KindDecorator, keys.KindDecoratorRevision:
		return k, ok
	}
	return keys.Key{}, false
}

// History reports whether an entry is a numbered revision, of a service or of a
// decorator.
func (e Entry) History() bool {
	k, _ := e.Key(paths)
	return k.Kind == keys.KindRevision || k.Kind == keys.KindDecoratorRevision
}

// LiveRevision returns the live revision of a service as the entry that the
// revision has itself; false for other entries, and for one that cannot be read.
func (e Entry) LiveRevision() (Entry, bool) {
	k, _ := e.Key(paths)
	var s ruedov1.Service
	if k.Kind != keys.KindService || proto.Unmarshal(e.Value, &s) != nil {
		return Entry{}, false
	}
	key, err := paths.Revision(k.Name, s.GetRevision().GetNumber())
	if err != nil {
		return Entry{}, false
	}
	value, err := proto.Marshal(s.GetRevision())
	return Entry{key[len(paths):], value}, err == nil
}

// paths is a space to read paths in; which one does not matter.
const paths = keys.Space("/ruedo/any/")

// tally counts entries and digests them.
type tally struct {
	Summary
	sum hash.Hash
}

// add counts an entry. It returns false for a path that no archive has.
func (t *tally) add(e Entry) bool {
	if _, ok := e.Module(); ok {
		t.Modules++
	} else if k, ok := e.Key(paths); ok {
		switch k.Kind {
		case keys.KindService:
			t.Services++
		case keys.KindRevision:
			t.Revisions++
		case keys.KindDecorator:
			t.Decorators++
		case keys.KindDecoratorRevision:
			t.DecoratorRevisions++
		}
	} else {
		return false
	}
	t.Bytes += int64(len(e.Value))
	for _, part := range [][]byte{[]byte(e.Path), e.Value} {
		_ = binary.Write(t.sum, binary.BigEndian, uint64(len(part))) // a hash does not fail
		t.sum.Write(part)
	}
	return true
}

// end returns the summary of what was added.
func (t *tally) end() Summary {
	s := t.Summary
	s.SHA256 = hex.EncodeToString(t.sum.Sum(nil))
	return s
}

// Writer writes an archive.
type Writer struct {
	tar  *tar.Writer
	zip  *zstd.Encoder
	time time.Time
	tally
}

// NewWriter begins an archive. It sets the format of the header. Close ends the
// archive.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	// A core makes archives for whoever asks, so one must not take much memory.
	zip, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot begin an archive")
	}
	h.Format = Format
	a := &Writer{tar: tar.NewWriter(zip), zip: zip, time: h.Time, tally: tally{sum: sha256.New()}}
	return a, a.json(headerName, h)
}

// Add writes an entry. Errors of the underlying writer are returned as they are.
func (a *Writer) Add(e Entry) error {
	if !a.add(e) {
		return fault.New(fault.Internal, "%s does not belong in a backup", keys.Quote(e.Path))
	}
	return a.file(e.Path, e.Value)
}

// Close writes the summary, and everything that is buffered. Without it the
// archive is not valid.
func (a *Writer) Close() (Summary, error) {
	s := a.end()
	if err := a.json(summaryName, s); err != nil {
		return s, err
	}
	if err := a.tar.Close(); err != nil {
		return s, err
	}
	return s, a.zip.Close()
}

func (a *Writer) json(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fault.Wrap(err, fault.Internal, "cannot encode %s", name)
	}
	return a.file(name, append(b, '\n'))
}

func (a *Writer) file(name string, value []byte) error {
	err := a.tar.WriteHeader(&tar.Header{Name: name, Size: int64(len(value)), Mode: 0o600, ModTime: a.time, Format: tar.FormatPAX})
	if err == nil {
		_, err = a.tar.Write(value)
	}
	return err
}
