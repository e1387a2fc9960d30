package archive

import (
	"archive/tar"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// Limits bound what an archive may hold. A zero field means its default.
type Limits struct {
	// Value is the size of the largest value, in bytes. Default: 2 MiB, more than
	// a store accepts.
	Value int64
	// Module is the size of the largest module, in bytes. Default: 1 GiB.
	Module int64
	// Entries is how many values and modules there are at most. Default: 5
	// million.
	Entries int
	// Bytes bounds all values and modules together. Default: 1 TiB.
	Bytes int64
}

func (l Limits) withDefaults() Limits {
	return Limits{cmp.Or(l.Value, 2<<20), cmp.Or(l.Module, 1<<30), cmp.Or(l.Entries, 5_000_000), cmp.Or(l.Bytes, 1<<40)}
}

// maxJSON bounds header and summary.
const maxJSON = 64 << 10

// Reader reads an archive.
type Reader struct {
	tar     *tar.Reader
	zip     *zstd.Decoder
	limits  Limits
	header  Header
	entries int
	end     *Summary // what the archive says; nil before its end
	tally
}

// NewReader begins to read an archive. It fails with BACKUP_INVALID if r does not
// begin like one; errors of r are their causes. Close it.
func NewReader(r io.Reader, l Limits) (*Reader, error) {
	zip, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot begin to read an archive")
	}
	a := &Reader{tar: tar.NewReader(zip), zip: zip, limits: l.withDefaults(), tally: tally{sum: sha256.New()}}
	if err := a.begin(); err != nil {
		zip.Close()
		return nil, err
	}
	return a, nil
}

// Close frees what reading takes. It does not close the underlying reader.
func (a *Reader) Close() { a.zip.Close() }

// Header returns the header.
func (a *Reader) Header() Header { return a.header }

// Summary returns the summary once Next has returned io.EOF; zero before.
func (a *Reader) Summary() Summary {
	if a.end == nil {
		return Summary{}
	}
	return *a.end
}

func (a *Reader) begin() error {
	h, err := a.tar.Next()
	if err != nil || h.Name != headerName || h.Size > maxJSON || json.NewDecoder(a.tar).Decode(&a.header) != nil || a.header.Format == 0 {
		return invalid(err, "it is not a backup of Ruedo").WithFix("name a file that a backup has written")
	}
	if a.header.Format != Format {
		return invalid(nil, "it has format %d, this ruedo knows %d", a.header.Format, Format).WithFix("use a newer ruedo")
	}
	return nil
}

// Next returns the next entry, and io.EOF after the last one, when all of it has
// turned out to be as it was written. It fails with BACKUP_INVALID.
func (a *Reader) Next() (Entry, error) {
	if a.end != nil {
		return Entry{}, io.EOF
	}
	h, err := a.tar.Next()
	switch {
	case errors.Is(err, io.EOF):
		return Entry{}, a.cut(nil)
	case err != nil:
		return Entry{}, a.cut(err)
	case h.Name == summaryName:
		return Entry{}, a.finish(h)
	}
	e := Entry{Path: h.Name}
	limit, what := a.limits.Value, "a value"
	if _, ok := e.Module(); ok {
		limit, what = a.limits.Module, "a module"
	}
	a.entries++
	switch {
	case h.Size > limit:
		return Entry{}, invalid(nil, "%s: %s of %s is over the limit of %s", keys.Quote(h.Name), what, limits.FormatSize(uint64(h.Size)), limits.FormatSize(uint64(limit)))
	case a.entries > a.limits.Entries:
		return Entry{}, invalid(nil, "it has more than %d values, the limit", a.limits.Entries)
	case a.Bytes+h.Size > a.limits.Bytes:
		return Entry{}, invalid(nil, "it has more than %s, the limit", limits.FormatSize(uint64(a.limits.Bytes)))
	}
	e.Value = make([]byte, h.Size)
	if _, err := io.ReadFull(a.tar, e.Value); err != nil {
		return Entry{}, a.cut(err)
	}
	if !a.add(e) {
		return Entry{}, invalid(nil, "it holds %s, which no backup has", keys.Quote(h.Name))
	}
	if digest, ok := e.Module(); ok {
		if sum := sha256.Sum256(e.Value); hex.EncodeToString(sum[:]) != digest {
			return Entry{}, invalid(nil, "module %s is damaged in it", digest)
		}
	}
	return e, nil
}

// finish compares the summary with what was read.
func (a *Reader) finish(h *tar.Header) error {
	var end Summary
	if h.Size > maxJSON {
		return invalid(nil, "its summary cannot be read")
	}
	if err := json.NewDecoder(a.tar).Decode(&end); err != nil {
		return a.cut(err)
	}
	if end != a.tally.end() {
		return invalid(nil, "it is not as it was written: its digest or its counts differ")
	}
	// Reading on verifies the checksum of the compression, too.
	switch _, err := a.tar.Next(); {
	case err == nil:
		return invalid(nil, "something follows its end")
	case !errors.Is(err, io.EOF):
		return a.cut(err)
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(a.zip, maxJSON)); err != nil {
		return a.cut(err)
	}
	a.end = &end
	return io.EOF
}

// cut returns the error for an archive that ends early or cannot be read.
func (a *Reader) cut(err error) error {
	why := "it is cut off"
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		why = "it cannot be read to its end: " + fault.Cut(err.Error(), 200)
	}
	return invalid(err, "%s after %d values and modules", why, a.entries)
}

func invalid(err error, format string, args ...any) *fault.Error {
	return fault.Wrap(err, fault.BackupInvalid, "the backup cannot be used: %s", fmt.Sprintf(format, args...)).
		WithFix("use another backup")
}
