// Package wholefile writes files that are either complete or not there. A file is
// written next to its path and renamed when it is complete, so that neither a crash
// nor a full disk leaves a part of it, and a file that it replaces stays until then.
//
//	f, err := wholefile.Create(path)
//	defer f.Discard()
//	_, err = f.Write(data)
//	err = f.Keep()
package wholefile

import (
	"errors"
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

// Create begins a file with mode 0600. The directory of path must exist.
func Create(path string) (*File, error) {
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
