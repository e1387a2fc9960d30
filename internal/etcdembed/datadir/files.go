package datadir

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Files are the files of a running server, as they were when it had started. A
// process with a deleted file open goes on writing to it without noticing, so
// the files must be checked.
type Files struct {
	path string
	wal  fs.FileInfo
	db   atomic.Pointer[fs.FileInfo]
}

// OpenFiles records the files of a server that is ready.
func OpenFiles(dir string) (*Files, error) {
	f := &Files{path: dir}
	var err error
	if f.wal, err = os.Stat(f.walDir()); err != nil {
		return nil, err
	}
	db, err := os.Stat(f.database())
	f.db.Store(&db)
	return f, err
}

func (f *Files) walDir() string   { return filepath.Join(f.path, "member", "wal") }
func (f *Files) database() string { return filepath.Join(f.path, "member", "snap", "db") }

// Check checks that the files in the directory are still those that the server
// writes to.
func (f *Files) Check() error {
	if db, err := os.Stat(f.database()); err != nil || !os.SameFile(db, *f.db.Load()) {
		// etcd itself replaces its database when it defragments it, or receives a
		// snapshot.
		if err != nil || !locked(f.database()) {
			return f.lost("its database was deleted or replaced")
		}
		f.db.Store(&db)
	}
	if wal, err := os.Stat(f.walDir()); err != nil || !os.SameFile(wal, f.wal) {
		return f.lost("its write-ahead log was deleted or replaced")
	}
	entries, err := os.ReadDir(f.walDir())
	if err != nil {
		return f.lost("its write-ahead log cannot be read")
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".wal") {
			return nil
		}
	}
	return f.lost("its write-ahead log was deleted")
}

// Size returns the size of the database file; zero if it is gone.
func (f *Files) Size() int64 {
	info, err := os.Stat(f.database())
	if err != nil {
		return 0
	}
	return info.Size()
}

func (f *Files) lost(how string) error {
	return fault.New(fault.DataDirLost, "data directory %s disappeared while it was in use: %s", f.path, how).
		WithFix("restore the directory from a backup and restart this core, which loses what it holds in memory").With("path", f.path)
}
