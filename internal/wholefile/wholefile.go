// Package wholefile writes files that are either complete or not there. A file is
// written next to its path and renamed when it is complete, so that neither a crash
// nor a full disk leaves a part of it, and a file that it replaces stays until then.
//
//	f, err := wholefile.Create(path)
//	defer f.Discard()
//	_, err = f.Write(data)
//	err = f.Keep()
//
// [ReadAll] reads one that others may have written: not more of it than is useful.
package wholefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// File is a file that is being written. It must not be used by several goroutines
// at the same time.
type File struct {
	*os.File        // under its temporary name
	path     string // which it will have
	done     bool
}

// Create begins a file with mode 0600. The directory of path must exist. What is at path
// must be a regular file, if anything: a device would be replaced as well.
func Create(path string) (*File, error) {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "create", Path: path, Err: errors.New("it is not a regular file")}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-*")
	if err != nil {
		return nil, err
	}
	return &File{File: f, path: path}, nil
}

// Keep writes the file to the disk, closes it and gives it its path, where it
// replaces another file. If that fails, the file is discarded.
func (f *File) Keep() error { return f.KeepAs(f.path) }

// KeepAs is Keep with another path in the same directory.
func (f *File) KeepAs(path string) error {
	err := errors.Join(f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		f.Discard()
	}
	f.done = true
	return err
}

// Discard closes and removes the file, unless it was kept.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	_ = f.Close() // possibly for the second time
	_ = os.Remove(f.Name())
}

// ReadAll returns what is left of r. It fails if that is more than limit bytes: a disk,
// or /dev/zero, fits into no memory.
func ReadAll(r io.Reader, limit int64) ([]byte, error) {
	large := fmt.Errorf("it has more than %d MiB, the limit", limit>>20)
	if f, ok := r.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && st.Size() > limit {
			return nil, large
		}
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, large
	}
	return data, err
}
