package compile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// workdir is the working directory of one compiler, in a private directory that
// may have those of others. A lock in it tells the living from what a crash left
// behind.
type workdir struct {
	root   string
	key    []byte
	unlock func() error
	next   atomic.Int64
}

const workPrefix = "work-"

// newWorkdir makes a working directory in private, and clears away those that
// nobody uses any more. If private is empty, so does the system's directory for
// temporary files, with a key for once.
func newWorkdir(private string) (w *workdir, err error) {
	w = &workdir{unlock: func() error { return nil }}
	if private == "" {
		if w.key, err = newKey(); err != nil {
			return nil, err
		}
		w.root, err = os.MkdirTemp("", "ruedo-compile-")
		return w, err
	}
	if err := makePrivate(private); err != nil {
		return nil, err
	}
	// Nobody must take a directory for abandoned that is just being made.
	unlock, err := lock(filepath.Join(private, "lock"), true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := sweep(private); err != nil {
		return nil, err
	}
	if w.key, err = loadKey(filepath.Join(private, "key")); err != nil {
		return nil, err
	}
	if w.root, err = os.MkdirTemp(private, workPrefix); err != nil {
		return nil, err
	}
	if w.unlock, err = lock(w.path("lock"), true); err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.root))
	}
	return w, nil
}

// sweep removes working directories whose processes are gone.
func sweep(private string) error {
	entries, err := os.ReadDir(private)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), workPrefix) || !isolated {
			continue // where there are no locks, any may be in use
		}
		dir := filepath.Join(private, e.Name())
		unlock, err := lock(filepath.Join(dir, "lock"), false)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// Its owner is removing it, or ended when it had just made it: who
			// makes one holds the lock that is held here.
			unlock = func() error { return nil }
		case err != nil:
			return err
		case unlock == nil:
			continue // in use
		}
		if err := errors.Join(os.RemoveAll(dir), unlock()); err != nil {
			return err
		}
	}
	return nil
}

// path is a place in the directory.
func (w *workdir) path(name string) string { return filepath.Join(w.root, name) }

// fresh is a place that nobody else has.
func (w *workdir) fresh(prefix string) string {
	return w.path(prefix + strconv.FormatInt(w.next.Add(1), 10))
}

// close removes it. The lock goes last.
func (w *workdir) close() error { return errors.Join(os.RemoveAll(w.root), w.unlock()) }

// checkDirs makes the directory of entries and sees that the private one is
// outside.
func checkDirs(dir, private string) error {
	if dir == "" {
		return nil
	}
	if err := makePrivate(dir); err != nil {
		return err
	}
	if err := makePrivate(private); err != nil {
		return err
	}
	within, err := filepath.EvalSymlinks(private)
	if err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	if within, err = filepath.Abs(within); err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if rel, err := filepath.Rel(dir, within); err == nil && filepath.IsLocal(rel) {
		return fmt.Errorf("the private directory %s must not lie in %s: whoever can write there could forge its key", private, dir)
	}
	return nil
}

// makePrivate makes a directory that only this user can enter.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !owned(st) {
		return fmt.Errorf("%s belongs to another user", dir)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}
