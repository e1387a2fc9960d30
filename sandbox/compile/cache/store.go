package cache

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// store holds sealed code in a directory that it does not trust, and that other
// processes can use at the same time. Files appear by renaming, are never
// changed, and can vanish at any time.
type store struct {
	dir     string
	maxSize int64
	needed  func() map[string]bool
	secret  func() []byte
	log     *slog.Logger
	count   *counters
	disk    disk
}

const (
	entrySuffix = ".code"
	newPrefix   = ".new-"
	// abandoned is the age at which a file that was never finished is removed.
	abandoned = time.Hour
)

func openStore(dir string, cfg Config, secret func() []byte, count *counters) (*store, error) {
	if err := makePrivate(dir); err != nil {
		return nil, err
	}
	needed := cfg.Needed
	if needed == nil {
		needed = func() map[string]bool { return nil }
	}
	return &store{dir: dir, maxSize: cfg.MaxSize, needed: needed, secret: secret, log: cfg.Logger, count: count, disk: disk{
		log: cfg.Logger, dir: dir, what: "compiled modules are not kept on disk",
		fix: "make room there, or make it a directory that this user can write to",
	}}, nil
}

func (s *store) path(key string) string { return filepath.Join(s.dir, key+entrySuffix) }

// load copies the code of an entry to a new file at path, and returns its name.
// It returns false, and leaves no file, if there is no authentic entry.
func (s *store) load(key, path string) (name string, ok bool) {
	from := s.path(key)
	f, st, err := openRegular(from)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	if err == nil {
		defer f.Close()
		err = writeFile(path, false, func(w io.Writer) error {
			name, err = unseal(w, s.secret(), key, f, st.Size())
			return err
		})
	}
	switch {
	case err == nil:
		now := time.Now()
		// Only for the order of eviction; it does not matter if this entry was just
		// evicted.
		_ = os.Chtimes(from, now, now)
		return name, true
	case errors.Is(err, errForged), errors.Is(err, errIrregular):
		s.count.refused.Add(1)
		s.log.Warn("INTEGRITY: a compiled module on disk is not what was written there; it is deleted and compiled again",
			"file", from, "error", err)
		if err := os.RemoveAll(from); err != nil {
			s.log.Warn("a compiled module that is not authentic cannot be deleted", "file", from, "error", err)
		}
	default:
		s.disk.failed(err)
	}
	return "", false
}

// save stores code. A failure is only logged, because the code can still be
// used.
func (s *store) save(key, name string, code *os.File, size int64) {
	if size > s.maxSize {
		s.log.Warn("a compiled module is larger than the cache on disk and is not kept", "bytes", size, "limit", s.maxSize)
		return
	}
	err := s.write(key, name, code)
	if errors.Is(err, fs.ErrNotExist) {
		// The directory was removed.
		if err = makePrivate(s.dir); err == nil {
			err = s.write(key, name, code)
		}
	}
	if Full(err) && s.shrink() {
		err = s.write(key, name, code)
	}
	if err == nil {
		err = s.evict(key)
	}
	if err != nil {
		s.disk.failed(err)
		return
	}
	s.disk.worked()
}

func (s *store) write(key, name string, code io.ReadSeeker) error {
	if _, err := code.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return writeFile(s.path(key), true, func(w io.Writer) error { return seal(w, s.secret(), key, name, code) })
}

// shrink removes half of the entries, because the disk is full. It reports
// whether it removed any.
func (s *store) shrink() bool {
	entries, total, err := s.entries("")
	if err != nil {
		return false
	}
	n, err := s.remove(entries, total, total/2)
	if n > 0 {
		s.log.Info("the disk is full: compiled modules that were kept make room", "dir", s.dir, "removed", n)
	}
	return n > 0 && err == nil
}

// evict removes entries until the rest fits, but never keep.
func (s *store) evict(keep string) error {
	entries, total, err := s.entries(keep)
	if err == nil {
		_, err = s.remove(entries, total, s.maxSize)
	}
	return err
}

// file is one entry.
type file struct {
	path   string
	size   int64
	used   time.Time
	needed bool
}

// entries returns all entries except for the one to spare, and the size of all. It
// removes files that were never finished.
func (s *store) entries(spare string) (entries []file, total int64, err error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, 0, err
	}
	for _, f := range files {
		unfinished := strings.HasPrefix(f.Name(), newPrefix)
		if !unfinished && !strings.HasSuffix(f.Name(), entrySuffix) {
			continue
		}
		st, err := f.Info()
		if err != nil {
			continue // another process evicted it
		}
		e := file{path: filepath.Join(s.dir, f.Name()), size: st.Size(), used: st.ModTime()}
		if unfinished && time.Since(e.used) > abandoned {
			if err := gone(os.Remove(e.path)); err != nil {
				return nil, 0, err
			}
			continue
		}
		total += e.size
		if !unfinished && f.Name() != spare+entrySuffix {
			entries = append(entries, e)
		}
	}
	return entries, total, nil
}

// remove removes entries until at most limit of total is left: first those that
// are not needed, the least recently used ones first. It returns how many it
// removed.
func (s *store) remove(entries []file, total, limit int64) (n int, err error) {
	if total <= limit {
		return 0, nil
	}
	needed := s.needed()
	for i, e := range entries {
		entries[i].needed = needed[strings.TrimSuffix(filepath.Base(e.path), entrySuffix)]
	}
	slices.SortFunc(entries, func(a, b file) int {
		if a.needed != b.needed {
			if a.needed {
				return 1
			}
			return -1
		}
		return a.used.Compare(b.used)
	})
	for _, e := range entries {
		if total <= limit {
			break
		}
		if err := gone(os.Remove(e.path)); err != nil {
			return n, err
		}
		s.count.evicted.Add(1)
		n++
		total -= e.size
	}
	return n, nil
}

// gone ignores the error if another process was faster.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeFile creates a file with mode 0600 that either contains everything that
// write wrote or does not exist. It is synced if it must survive a crash of the
// machine.
func writeFile(path string, durable bool, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), newPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // possibly for the second time
			err = errors.Join(err, gone(os.Remove(f.Name())))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if durable {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
