package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// workdir is the working directory of one compiler, in a private directory that
// others can share. Its lock distinguishes directories in use from what a crash
// left behind.
type workdir struct {
	root    string
	private string // empty if root is in the system's directory for temporary files
	next    atomic.Int64
	mended  atomic.Int64 // how often it was created again
	disk    disk

	mu     sync.Mutex
	key    []byte
	unlock func() error
	locked os.FileInfo // of the lock; nil without one
}

const workPrefix = "work-"

// newWorkdir creates a working directory in private, and removes those that are
// no longer in use. If private is empty, it creates one in the system's
// directory for temporary files, with a key of its own.
func newWorkdir(private string, log *slog.Logger) (w *workdir, err error) {
	w = &workdir{private: private, unlock: func() error { return nil }}
	if private == "" {
		if w.key, err = newKey(); err != nil {
			return nil, err
		}
		w.root, err = os.MkdirTemp("", "ruedo-compile-")
	} else {
		err = w.open()
	}
	w.disk = disk{
		log: log, dir: w.root, what: "modules cannot be compiled",
		fix: "make room there, or make its parent a directory that this user can write to",
	}
	return w, err
}

func (w *workdir) open() (err error) {
	if err := makePrivate(w.private); err != nil {
		return err
	}
	// A directory that is just being created must not look abandoned.
	unlock, err := lock(filepath.Join(w.private, "lock"), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := sweep(w.private); err != nil {
		return err
	}
	if w.key, err = loadKey(filepath.Join(w.private, "key")); err != nil {
		return err
	}
	if w.root, err = os.MkdirTemp(w.private, workPrefix); err != nil {
		return err
	}
	if err := w.hold(); err != nil {
		return errors.Join(err, os.RemoveAll(w.root))
	}
	return nil
}

// hold takes the lock of the directory.
func (w *workdir) hold() error {
	path := w.path("lock")
	unlock, err := lock(path, true)
	if err != nil {
		return err
	}
	locked, err := os.Lstat(path)
	if err != nil {
		return errors.Join(err, unlock())
	}
	w.unlock, w.locked = unlock, locked
	return nil
}

// there reports whether the directory is still the one that was created.
func (w *workdir) there() bool {
	if w.locked == nil {
		st, err := os.Lstat(w.root)
		return err == nil && st.IsDir()
	}
	st, err := os.Lstat(w.path("lock"))
	return err == nil && os.SameFile(st, w.locked)
}

// mend creates the directory again in its place if it was removed.
func (w *workdir) mend() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.there() {
		return nil
	}
	err := w.reopen()
	if err == nil {
		w.mended.Add(1)
	}
	return err
}

func (w *workdir) reopen() (err error) {
	if w.private == "" {
		return remake(w.root)
	}
	if err := makePrivate(w.private); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(w.private, "lock"), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := remake(w.root); err != nil {
		return err
	}
	// The key that others use now, or else the previous one: code that was sealed
	// with it is still valid.
	path := filepath.Join(w.private, "key")
	key, err := readKey(path)
	if err == nil {
		w.key = key
	} else if err := saveKey(path, w.key); err != nil {
		return err
	}
	if err := w.unlock(); err != nil {
		return err
	}
	w.unlock = func() error { return nil }
	return w.hold()
}

// remake creates a directory that only this user can enter, or accepts one.
func remake(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, err := os.Lstat(dir)
	if err == nil && (!st.IsDir() || !owned(st) || locks && st.Mode().Perm()&0o077 != 0) {
		err = DiskError(fmt.Errorf("%s is there, but not the private directory of this program", dir))
	}
	return err
}

// secret is the key that seals code.
func (w *workdir) secret() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.key
}

// sweep removes working directories whose processes have ended.
func sweep(private string) error {
	entries, err := os.ReadDir(private)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), claimPrefix) && locks {
			if err := sweepClaim(filepath.Join(private, e.Name())); err != nil {
				return err
			}
			continue
		}
		if !e.IsDir() || !strings.HasPrefix(e.Name(), workPrefix) || !locks {
			continue // without locks, any can be in use
		}
		dir := filepath.Join(private, e.Name())
		unlock, err := lock(filepath.Join(dir, "lock"), false)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// Its owner is removing it, or ended right after creating it: creating one
			// takes the lock that is held here.
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

// path returns a path in the directory.
func (w *workdir) path(name string) string { return filepath.Join(w.root, name) }

// fresh returns a path that is not in use.
func (w *workdir) fresh(prefix string) string {
	return w.path(prefix + strconv.FormatInt(w.next.Add(1), 10))
}

// close removes it. The lock goes last.
func (w *workdir) close() error {
	err := os.RemoveAll(w.root)
	if errors.Is(err, syscall.ENOTDIR) || w.disk.broken.Load() {
		err = nil // it is already gone, or the log says why it stays
	}
	return errors.Join(err, w.unlock())
}

// checkDirs creates the directory of entries and checks that the private one is
// outside it.
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

// makePrivate creates a directory that only this user can enter.
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
