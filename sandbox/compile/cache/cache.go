// Package cache keeps compiled code on a disk that it does not trust.
//
//	c, err := cache.Open(cache.Config{Dir: dir, Private: private, MaxSize: 1 << 30})
//	path, name, ok := c.Load(key)      // a copy in the working directory, if authentic
//	store, err := c.Save(key, name, path)
//	err = c.Close()
//
// # Authentic code
//
// Each entry of Config.Dir has an HMAC-SHA256 over its key, its name and all of
// its bytes. The secret is in Config.Private, which must be out of reach for
// anyone who could write to Dir. Load copies code to the working directory
// while it computes the HMAC, and the copy is used only if the two are equal:
// the bytes that were checked are the bytes that are executed. An entry that
// does not match is deleted and logged as a warning with INTEGRITY.
//
// # The working directory
//
// It is created in Private, holds a lock, and is removed by Close; what a crash
// leaves is removed by the next Open. If it gets removed, Mend creates it
// again.
//
// # A disk that fails
//
// While Dir cannot be used, Save only logs. While the working directory cannot
// be used, nothing can be compiled: the caller gets an error and passes it to
// Failed, which logs it once. Both log paths; the caller's errors must not name
// them.
//
// Everything is safe for concurrent use, also by several processes on one Dir.
package cache

import (
	"errors"
	"log/slog"
	"sync/atomic"
)

// Config configures a cache.
type Config struct {
	// Dir holds the entries. It is created with mode 0700. "" means that they are
	// retained until Close.
	Dir string
	// Private holds the secret and the working directories. It must be outside
	// Dir; anyone who can write to it is trusted. "" means a temporary directory,
	// if Dir is "" too.
	Private string
	// MaxSize bounds Dir, in bytes; the least recently used entries go first.
	MaxSize int64
	// Needed returns the keys of entries that are removed only when no others are
	// left. It is called when there is something to remove. Nil: there are none.
	Needed func() map[string]bool
	// Logger must be set.
	Logger *slog.Logger
}

// Cache is a working directory, and sealed code on disk.
type Cache struct {
	work  *workdir
	store *store
	count counters
}

type counters struct{ refused, evicted atomic.Int64 }

// Open creates the directories. Its errors name paths.
func Open(cfg Config) (*Cache, error) {
	if err := checkDirs(cfg.Dir, cfg.Private); err != nil {
		return nil, err
	}
	work, err := newWorkdir(cfg.Private, cfg.Logger)
	if err != nil {
		return nil, err
	}
	c := &Cache{work: work}
	dir := cfg.Dir
	if dir == "" {
		dir = work.path("kept")
	}
	if c.store, err = openStore(dir, cfg, work.secret, &c.count); err != nil {
		return nil, errors.Join(err, work.close())
	}
	return c, nil
}

// Close removes the working directory.
func (c *Cache) Close() error { return c.work.close() }

// Path returns a path in the working directory.
func (c *Cache) Path(name string) string { return c.work.path(name) }

// Fresh returns a path in the working directory that nobody else uses.
func (c *Cache) Fresh(prefix string) string { return c.work.fresh(prefix) }

// Load copies the code of a key into the working directory. It returns the path
// of the copy and the name that the code was saved with; ok is false if there
// is no authentic entry.
func (c *Cache) Load(key string) (path, name string, ok bool) {
	path = c.work.fresh("loaded-")
	name, ok = c.store.load(key, path)
	return path, name, ok
}

// Save opens the code in the file at path, and store stores it, wherever the file
// has been moved meanwhile. The error is about that file. If the code cannot be
// stored, that is only logged, because the code can still be used.
func (c *Cache) Save(key, name, path string) (store func(), err error) {
	code, st, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	return func() {
		defer code.Close()
		c.store.save(key, name, code, st.Size())
	}, nil
}

// Mend creates the working directory again if it was removed.
func (c *Cache) Mend() error { return c.work.mend() }

// Mended returns how often the working directory was created again.
func (c *Cache) Mended() int64 { return c.work.mended.Load() }

// Recover does what is possible after an error about the working directory. It
// reports whether another try is worthwhile: the directory was created again
// since it had been mended the given number of times, or stored code was
// removed to make room.
func (c *Cache) Recover(failure error, mended int64) bool {
	if err := c.work.mend(); err != nil {
		return false
	}
	if c.work.mended.Load() != mended {
		return true
	}
	return Full(failure) && sameDisk(c.store.dir, c.work.root) && c.store.shrink()
}

// Failed logs, once, that the working directory cannot be used.
func (c *Cache) Failed(err error) { c.work.disk.failed(err) }

// Worked logs, once, that it can be used again.
func (c *Cache) Worked() { c.work.disk.worked() }

// Broken reports whether the last attempt to use it failed.
func (c *Cache) Broken() bool { return c.work.disk.broken.Load() }

// Refused returns how many entries were not authentic.
func (c *Cache) Refused() int64 { return c.count.refused.Load() }

// Evicted returns how many entries were removed to make room.
func (c *Cache) Evicted() int64 { return c.count.evicted.Load() }
