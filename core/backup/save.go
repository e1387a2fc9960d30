package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ruedo-dev/ruedo/core/store/modules"
	"github.com/ruedo-dev/ruedo/core/store/whole"
	"github.com/ruedo-dev/ruedo/internal/archive"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/internal/wholefile"
)

// Save writes a backup of a store of an older format to a new file in a directory,
// and returns the path of the file when its content has been read again. It copies
// all modules, because it does not know what the values mean. DATA_DIR: the file
// cannot be written.
func Save(ctx context.Context, c *fleet.Cluster, dir, version string) (path string, err error) {
	cannot := func(err error) error {
		return fault.Wrap(err, fault.DataDir, "the store has an older format, and the backup that its migration begins with cannot be written to %s: %s", dir, text.Cause(err)).
			WithFix("make room or allow writing there, then start the core again; nothing has changed")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", cannot(err)
	}
	f, err := wholefile.Create(filepath.Join(dir, "backup"))
	if err != nil {
		return "", cannot(err)
	}
	defer f.Discard()
	number, err := save(ctx, c, f, version)
	if _, disk := errors.AsType[*fs.PathError](err); disk {
		return "", cannot(err)
	}
	if err != nil {
		return "", err
	}
	if err := readAgain(f); err != nil {
		return "", err
	}
	path = filepath.Join(dir, fmt.Sprintf("backup-format-%d-%s.tar.zst", number, time.Now().UTC().Format("20060102T150405Z")))
	if err := f.KeepAs(path); err != nil {
		return "", cannot(err)
	}
	return path, nil
}

// save writes the archive, and returns the format of the store.
func save(ctx context.Context, c *fleet.Cluster, w io.Writer, version string) (number uint32, err error) {
	var out *archive.Writer
	err = whole.ReadOlder(ctx, c, func(o whole.Origin) (err error) {
		number = o.Format
		out, err = archive.NewWriter(w, header(c, o, version))
		return err
	}, func(path string, value []byte) error { return out.Add(archive.Entry{Path: path, Value: value}) })
	if err != nil {
		return 0, err
	}
	stored, err := modules.New(modules.Config{Cluster: c}) // which only reads
	if err != nil {
		return 0, err
	}
	defer stored.Close()
	for m, err := range stored.All(ctx) {
		if err != nil {
			return 0, err
		}
		if m.Version == 0 { // an upload that was broken off
			continue
		}
		wasm, err := stored.ReadModule(ctx, m.Digest)
		if errors.Is(err, fault.ModuleNotFound) { // collected meanwhile
			continue
		}
		if err != nil {
			return 0, err
		}
		if err := out.Add(archive.ModuleEntry(m.Digest, wasm)); err != nil {
			return 0, err
		}
	}
	_, err = out.Close()
	return number, err
}

// readAgain reads a file from its beginning, and checks its digest.
func readAgain(f io.ReadSeeker) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fault.Wrap(err, fault.DataDir, "the backup cannot be read again: %s", text.Cause(err))
	}
	a, err := archive.NewReader(f, archive.Limits{})
	if err != nil {
		return err
	}
	defer a.Close()
	for {
		if _, err := a.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
