// Package modules caches the modules that a runner has fetched on disk, by
// digest.
//
// Open a [Cache] with [Open] and call [Cache.Get], which fetches modules that
// are missing. Promises:
//
//   - Bytes are compared with their digest before they are used: when they come
//     from the core, and again each time they come from the disk. Bytes that do
//     not match are discarded and fetched again, never used.
//   - There is one fetch per digest at a time, however many calls need it.
//   - If the core sends modules in chunks, a fetch that broke off continues where
//     it was, also in the next process: what has arrived is in a file. Each chunk
//     is verified when it is complete.
//   - Files appear whole or not at all, so several runners can share a
//     directory.
//   - The directory stays under its limit; the least recently used files go
//     first.
//   - A disk that is full or broken costs fetches, not calls: modules are then
//     used but not stored. If the directory is missing, it is created again. If
//     the disk is full, half of the modules are removed. The log says when the
//     directory becomes unusable and when it is usable again, in one line each.
package modules

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/runner/internal/singleflight"
)

// Defaults of a config.
const (
	DefaultMaxBytes  = 1 << 30
	DefaultMaxModule = 64 << 20
)

const (
	suffix    = ".wasm"
	temporary = ".fetch-"
	// stale is the age at which a temporary file's process must have ended.
	stale = time.Hour
	// fetchTime bounds one fetch that is not in chunks.
	fetchTime = 5 * time.Minute
)

// Config configures a cache.
type Config struct {
	// Dir is created with mode 0700 if it is missing.
	Dir string
	// MaxBytes bounds the size of all modules together; zero means
	// DefaultMaxBytes.
	MaxBytes int64
	// Needed returns the digests of modules that are removed only when no others
	// are left. It is called when there is something to remove. Nil: there are
	// none.
	Needed func() map[string]bool
	// MaxModule bounds the size of one module; zero means DefaultMaxModule.
	MaxModule int64
	// Rate bounds how fast modules arrive in chunks, all together, in bytes per
	// second. Zero means that it is not bounded.
	Rate int64
	// Logger receives problems with the disk; nil discards them.
	Logger *slog.Logger
}

// Cache is a directory of modules. It is safe for concurrent use.
type Cache struct {
	cfg     Config
	log     *slog.Logger
	broken  atomic.Bool // the last log line said that the directory cannot be used
	fetches *singleflight.Group[[]byte]

	unpack   *zstd.Decoder
	throttle throttle
}

// Opener returns a reader of the module's bytes at their source; see
// exec.Source.
type Opener func(ctx context.Context) (io.ReadCloser, error)

// Open opens or creates the directory.
func Open(cfg Config) (*Cache, error) {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.MaxModule <= 0 {
		cfg.MaxModule = DefaultMaxModule
	}
	if cfg.Needed == nil {
		cfg.Needed = func() map[string]bool { return nil }
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(executor.MaxChunk))
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot create the decoder of modules")
	}
	c := &Cache{cfg: cfg, log: cfg.Logger, fetches: singleflight.New[[]byte](), unpack: unpack, throttle: throttle{rate: cfg.Rate}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.DataDir, "the directory for modules cannot be created: %s", err).
			WithFix("choose another directory (runner.cache_dir)")
	}
	leftovers, err := c.list(temporary)
	if err != nil {
		c.failed(err)
	}
	for _, e := range leftovers {
		if time.Since(e.used) > stale {
			c.discard(e.path)
		}
	}
	c.dropPartials(maxPartials)
	return c, nil
}

// Close ends fetches in flight. The files stay.
func (c *Cache) Close() {
	c.fetches.Close()
	c.unpack.Close()
}

// Get returns the module with this digest; the caller must not change it. size
// is its declared size; zero means unknown. The error is INTEGRITY if the
// fetched bytes do not match.
func (c *Cache) Get(ctx context.Context, digest string, size uint64, open Opener) ([]byte, error) {
	if b, err := hex.DecodeString(digest); err != nil || len(b) != sha256.Size || strings.ToLower(digest) != digest {
		return nil, fault.New(fault.Integrity, "%.80q is not a valid module digest", digest)
	}
	if size > uint64(c.cfg.MaxModule) {
		return nil, fault.New(fault.WasmLimit, "the module has %s, over this runner's limit of %s", text.Size(size), text.Size(c.cfg.MaxModule)).
			WithFix("raise module.size of the runner")
	}
	get := func(ctx context.Context) ([]byte, error) {
		if b := c.read(digest); b != nil {
			return b, nil
		}
		return c.fetch(ctx, digest, size, open)
	}
	b, joined, err := c.fetches.Do(ctx, digest, get)
	if err != nil && joined && ctx.Err() == nil {
		// The caller that fetched had another source; this one can be better.
		b, _, err = c.fetches.Do(ctx, digest, get)
	}
	return b, err
}

// read returns a module from the disk, or nil if there is no intact one.
func (c *Cache) read(digest string) []byte {
	path := c.path(digest)
	b, err := os.ReadFile(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.failed(err)
		}
		return nil
	}
	if hexDigest(b) != digest {
		c.log.Warn("a module on disk does not match its digest; it will be fetched again", "path", path)
		c.discard(path)
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // only for the order of eviction
	return b
}

// fetch fetches a module from its source and stores it on disk.
func (c *Cache) fetch(ctx context.Context, digest string, size uint64, open Opener) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, chunkedTime)
	defer cancel()
	r, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if chunked, ok := r.(executor.Chunked); ok {
		if wasm, ok, err := c.fetchChunked(ctx, digest, size, chunked); ok {
			if err == nil {
				c.store(digest, wasm)
			}
			return wasm, err
		}
	}
	whole := time.AfterFunc(fetchTime, cancel)
	defer whole.Stop()
	limit := int64(size)
	if limit == 0 {
		limit = c.cfg.MaxModule
	}
	var b bytes.Buffer
	b.Grow(int(size))
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(&b, hash), io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if size > 0 && uint64(n) != size || n > limit {
		return nil, fault.New(fault.Integrity, "the core sent %d bytes or more for module %s, which has %d", n, digest, limit)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != digest {
		return nil, fault.New(fault.Integrity, "the core sent a module with digest %s instead of %s", got, digest)
	}
	c.store(digest, b.Bytes())
	return b.Bytes(), nil
}

// store writes a module to the disk. If that fails, the log says so.
func (c *Cache) store(digest string, wasm []byte) {
	write := func() error {
		file := c.create()
		_, _ = file.Write(wasm) // keep reports the error
		return file.keep(c.path(digest))
	}
	err := write()
	if errors.Is(err, syscall.ENOSPC) && c.shrink() {
		err = write()
	}
	if err == nil {
		err = c.evict(digest, c.cfg.MaxBytes)
	}
	if err != nil {
		c.failed(err)
	} else {
		c.worked()
	}
}

// shrink removes half of the modules, because the disk is full. It reports
// whether it removed any.
func (c *Cache) shrink() bool {
	before, err := c.size()
	if err != nil || before == 0 || c.evict("", before/2) != nil {
		return false
	}
	after, err := c.size()
	if err == nil && after < before {
		c.log.Info("the disk is full: stored modules were deleted to make room", "path", c.cfg.Dir, "bytes", before-after)
	}
	return err == nil && after < before
}

// size returns the total size of all modules.
func (c *Cache) size() (total int64, err error) {
	entries, err := c.list("")
	for _, e := range entries {
		total += e.size
	}
	return total, err
}

// evict removes modules until no more than limit bytes are left: first those that
// are not needed, the least recently used ones first.
func (c *Cache) evict(keep string, limit int64) error {
	entries, err := c.list("")
	if err != nil {
		return err
	}
	var total int64
	for _, e := range entries {
		total += e.size
	}
	if total <= limit {
		return nil
	}
	needed := c.cfg.Needed()
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(rank(needed, a), rank(needed, b)), cmp.Compare(a.used.UnixNano(), b.used.UnixNano()))
	})
	for _, e := range entries {
		if total <= limit {
			return nil
		}
		if strings.HasSuffix(e.path, suffix) && e.path != c.path(keep) {
			if err := remove(e.path); err != nil {
				return err
			}
			total -= e.size
		}
	}
	return nil
}

// rank is 1 for a module that is needed, and otherwise 0.
func rank(needed map[string]bool, e entry) int {
	if needed[strings.TrimSuffix(filepath.Base(e.path), suffix)] {
		return 1
	}
	return 0
}

type entry struct {
	path string
	size int64
	used time.Time
}

func (c *Cache) list(prefix string) ([]entry, error) {
	files, err := os.ReadDir(c.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, f := range files {
		info, err := f.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasPrefix(f.Name(), prefix) {
			continue // removed meanwhile, or not a module
		}
		entries = append(entries, entry{filepath.Join(c.cfg.Dir, f.Name()), info.Size(), info.ModTime()})
	}
	return entries, nil
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// discard removes a useless file.
func (c *Cache) discard(path string) {
	if err := remove(path); err != nil {
		c.failed(err)
	}
}

// failed logs that the directory cannot be used, once until it can be used
// again.
func (c *Cache) failed(err error) {
	if !c.broken.Swap(true) {
		c.log.Warn("modules are not stored on disk: the directory cannot be used", "path", c.cfg.Dir, "error", err,
			"fix", "make room there, or make it a directory that this user can write to")
	}
}

// worked logs that the directory can be used again.
func (c *Cache) worked() {
	if c.broken.Load() && c.broken.Swap(false) {
		c.log.Info("modules are stored on disk again", "path", c.cfg.Dir)
	}
}

func (c *Cache) path(digest string) string { return filepath.Join(c.cfg.Dir, digest+suffix) }

func hexDigest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// draft is a file being written. An error ends the writing, but not the fetch.
type draft struct {
	c    *Cache
	file *os.File // nil after an error, and when the draft is done
	err  error
}

// create starts a file next to its final place, so that it can be renamed. Its
// mode is 0600.
func (c *Cache) create() *draft {
	d := &draft{c: c}
	d.file, d.err = os.CreateTemp(c.cfg.Dir, temporary+"*")
	if errors.Is(d.err, fs.ErrNotExist) {
		// The directory was removed.
		if d.err = os.MkdirAll(c.cfg.Dir, 0o700); d.err == nil {
			d.file, d.err = os.CreateTemp(c.cfg.Dir, temporary+"*")
		}
	}
	return d
}

// Write never fails: keep returns the error.
func (d *draft) Write(p []byte) (int, error) {
	if d.err == nil {
		if _, d.err = d.file.Write(p); d.err != nil {
			d.abandon()
		}
	}
	return len(p), nil
}

// keep renames the file to its final place. It does not sync: a file that a
// crash damaged is detected by its digest.
func (d *draft) keep(path string) error {
	if d.err != nil {
		return d.err
	}
	f := d.file
	d.file = nil
	err := f.Close()
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		d.c.discard(f.Name())
	}
	return err
}

func (d *draft) abandon() {
	if d.file == nil {
		return
	}
	f := d.file
	d.file = nil
	_ = f.Close()
	d.c.discard(f.Name())
}
