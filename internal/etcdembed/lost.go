package etcdembed

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// files are those of a running server, as they were when it had started. A
// process that holds a deleted file open goes on writing to it and notices
// nothing, so somebody has to look.
type files struct {
	path    string
	wal, db fs.FileInfo
}

// openFiles looks at the files of a server that is ready.
func openFiles(dir string) (*files, error) {
	f := &files{path: dir}
	var err error
	if f.wal, err = os.Stat(f.walDir()); err != nil {
		return nil, err
	}
	f.db, err = os.Stat(f.database())
	return f, err
}

func (f *files) walDir() string   { return filepath.Join(f.path, "member", "wal") }
func (f *files) database() string { return filepath.Join(f.path, "member", "snap", "db") }

// check finds out whether the server still writes to the files that are in the
// directory.
func (f *files) check() error {
	if db, err := os.Stat(f.database()); err != nil || !os.SameFile(db, f.db) {
		return f.lost("its database was deleted or replaced")
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

func (f *files) lost(how string) error {
	return fault.New(fault.DataDirLost, "data directory %s is gone while it is in use: %s", f.path, how).
		WithFix("restore the directory from a backup and restart this core; what it holds in memory is lost then").With("path", f.path)
}
