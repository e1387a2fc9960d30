package etcdembed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"

	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	lockFile = "ruedo.lock"
	// lockPatience is how long to wait for a directory that another process may
	// be about to release.
	lockPatience = 300 * time.Millisecond
	lockPoll     = 20 * time.Millisecond
	// dbPatience is the same for the database file, which a foreign etcd may
	// hold.
	dbPatience = 500 * time.Millisecond
)

// dataDir is a directory that this process has locked.
type dataDir struct {
	path      string
	temporary bool
	lock      *fileutil.LockedFile
	reserve   int64 // bytes of its disk that writes must leave free
	users     atomic.Int32
	members   []peers.Member // as inspect found them in the database
}

// openDir creates the directory if it is missing and locks it.
// The caller holds it.
func openDir(ctx context.Context, path string, reserve int64) (*dataDir, error) {
	if path == "" {
		tmp, err := os.MkdirTemp("", "ruedo-store-")
		if err != nil {
			return nil, fault.Wrap(err, fault.DataDir, "cannot create a temporary data directory: %v", rootCause(err)).
				WithFix("set TMPDIR to a directory that can be written, or name a data directory")
		}
		d := &dataDir{path: tmp, temporary: true, reserve: reserve}
		d.hold()
		return d, nil
	}
	d := &dataDir{path: path, reserve: reserve}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, d.unusable(err)
	}
	deadline := time.Now().Add(lockPatience)
	for {
		lock, err := fileutil.TryLockFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
		switch {
		case err == nil:
			d.lock = lock
			d.hold()
			d.sign()
			return d, nil
		case !errors.Is(err, fileutil.ErrLocked):
			return nil, d.unusable(err)
		case time.Now().After(deadline):
			return nil, d.inUse(err, d.holder())
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// sign writes the process id to the lock file, for the message that other
// processes get. Nothing else depends on it.
func (d *dataDir) sign() {
	if d.lock.Truncate(0) == nil {
		_, _ = d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
}

// hold keeps the directory locked until release is called once more.
func (d *dataDir) hold() { d.users.Add(1) }

// release unlocks the directory, and removes a temporary one, when its last
// holder calls it.
func (d *dataDir) release() error {
	if d.users.Add(-1) > 0 {
		return nil
	}
	if d.lock != nil {
		_ = d.lock.Close()
	}
	if d.temporary {
		return os.RemoveAll(d.path)
	}
	return nil
}

// inspect checks the database file for problems over which etcd would exit the
// process or wait forever.
func (d *dataDir) inspect(ctx context.Context) error {
	file := filepath.Join(d.path, "member", "snap", "db")
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return d.unusable(err)
	case !info.Mode().IsRegular():
		return d.unusable(errors.New("member/snap/db is not a file"))
	case info.Size() == 0:
		return nil // as an interrupted start leaves it
	}
	type result struct {
		members []peers.Member
		err     error
	}
	seen := make(chan result, 1)
	go func() {
		var r result
		r.members, r.err = look(file, info.Size())
		seen <- r
	}()
	select {
	case r := <-seen:
		d.members, err = r.members, r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return d.inUse(err, "another process")
	case err != nil:
		return d.unusable(err)
	}
	return nil
}

// look opens the database read-only, reads the first entry of each bucket, and
// returns the members that it lists.
// Pages of a broken file can point anywhere, even past the end of the mapping.
// Here that is a panic instead of the end of the process.
func look(file string, size int64) (members []peers.Member, err error) {
	debug.SetPanicOnFault(true) // applies to this goroutine only, which ends here
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the database is corrupt: %v", p)
		}
	}()
	db, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true, Timeout: dbPatience})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bolt.Tx) error {
		if tx.Size() > size {
			return fmt.Errorf("the database is cut short: %d bytes of %d", size, tx.Size())
		}
		if err := tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
			b.Cursor().First()
			b.Cursor().Last()
			return nil
		}); err != nil {
			return err
		}
		members = peers.ReadMembers(tx)
		return nil
	})
	return members, err
}

// holder returns the name of the process that signed the lock file.
func (d *dataDir) holder() string {
	if f, err := os.Open(filepath.Join(d.path, lockFile)); err == nil {
		text, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return fmt.Sprintf("process %d", pid)
		}
	}
	return "another process"
}

func (d *dataDir) inUse(err error, by string) error {
	return fault.Wrap(err, fault.DataDirInUse, "data directory %s is in use by %s", d.path, by).
		WithFix("stop that process, or choose another data directory").With("path", d.path)
}

// unusable returns the error for a directory that cannot be used, and what to
// do about it.
func (d *dataDir) unusable(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	what, fix := "cannot be used", "check that it is a directory of this program, or choose another data directory"
	switch {
	case strings.Contains(err.Error(), "invalid downgrade"), strings.Contains(err.Error(), "unknown storage version"):
		return fault.Wrap(err, fault.StoreFormat, "data directory %s was written by a newer etcd", d.path).
			WithFix("use a newer ruedo, or choose another data directory").With("path", d.path)
	case errors.Is(err, fs.ErrPermission):
		what, fix = "cannot be read and written", "give this user the rights to it, or choose another data directory"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		what, fix = "is not a directory", "choose another data directory"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		what, fix = "has no space left", "make room on its disk, or choose another data directory"
	case errors.Is(err, syscall.EROFS):
		what, fix = "is on a read-only disk", "choose another data directory"
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		what, fix = "is corrupt", "restore it from a backup, or move it away to start with an empty store"
	case d.holdsData():
		what, fix = "cannot be opened", "restore it from a backup, or move it away to start with an empty store"
	}
	return fault.Wrap(err, fault.DataDir, "data directory %s %s: %v", d.path, what, rootCause(err)).
		WithFix("%s", fix).With("path", d.path)
}

// holdsData reports whether a store was created here.
func (d *dataDir) holdsData() bool {
	_, err := os.Stat(filepath.Join(d.path, "member"))
	return err == nil
}

// Exists reports whether a store was created in a directory. It is true as well
// if that cannot be found out; [Start] then fails and says why.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "member"))
	return !errors.Is(err, fs.ErrNotExist)
}

const (
	makeRoom     = "make room on its disk; writes are accepted again on their own"
	makeWritable = "make it writable; writes are accepted again on their own"
)

// writable returns STORE_FULL if the disk has less free space than the reserve,
// and DATA_DIR_READ_ONLY if the directory cannot be written.
func (d *dataDir) writable() error {
	if err := writeAccess(d.path); err != nil {
		return fault.Wrap(err, fault.DataDirReadOnly, "data directory %s can no longer be written: %v", d.path, err).
			WithFix(makeWritable).With("path", d.path)
	}
	if free, err := freeSpace(d.path); err == nil && free < d.reserve {
		return fault.New(fault.StoreFull, "the disk of data directory %s is full: %.1f MiB are free, %.1f MiB are reserved for the store itself", d.path, mib(free), mib(d.reserve)).
			WithFix(makeRoom).With("path", d.path)
	}
	return nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
