// Package datadir is the directory of an embedded etcd: its lock, what has to be
// known of its files before etcd maps them, the room that its disk has left, and
// whether the files are still those that etcd writes to.
package datadir

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
	"github.com/ruedo-dev/ruedo/internal/text"
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

// Dir is a directory that this process has locked.
type Dir struct {
	Path    string
	Members []peers.Member // as Inspect found them in the database

	temporary bool
	lock      *fileutil.LockedFile
	reserve   int64 // bytes of its disk that writes must leave free
	users     atomic.Int32
}

// Open creates the directory if it is missing and locks it. The caller holds it.
// An empty path means a temporary directory. Writes must leave reserve bytes of its
// disk free.
func Open(ctx context.Context, path string, reserve int64) (*Dir, error) {
	if path == "" {
		tmp, err := os.MkdirTemp("", "ruedo-store-")
		if err != nil {
			return nil, fault.Wrap(err, fault.DataDir, "cannot create a temporary data directory: %v", Cause(err)).
				WithFix("set TMPDIR to a directory that can be written, or name a data directory")
		}
		d := &Dir{Path: tmp, temporary: true, reserve: reserve}
		d.Hold()
		return d, nil
	}
	d := &Dir{Path: path, reserve: reserve}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, d.Unusable(err)
	}
	deadline := time.Now().Add(lockPatience)
	for {
		lock, err := fileutil.TryLockFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
		switch {
		case err == nil:
			d.lock = lock
			d.Hold()
			d.sign()
			return d, nil
		case !errors.Is(err, fileutil.ErrLocked):
			return nil, d.Unusable(err)
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
func (d *Dir) sign() {
	if d.lock.Truncate(0) == nil {
		_, _ = d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
}

// Hold keeps the directory locked until release is called once more.
func (d *Dir) Hold() { d.users.Add(1) }

// Release unlocks the directory, and removes a temporary one, when its last
// holder calls it.
func (d *Dir) Release() error {
	if d.users.Add(-1) > 0 {
		return nil
	}
	if d.lock != nil {
		_ = d.lock.Close()
	}
	if d.temporary {
		return os.RemoveAll(d.Path)
	}
	return nil
}

// Inspect checks the database file for problems over which etcd would exit the
// process or wait forever.
func (d *Dir) Inspect(ctx context.Context) error {
	file := filepath.Join(d.Path, "member", "snap", "db")
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return d.Unusable(err)
	case !info.Mode().IsRegular():
		return d.Unusable(errors.New("member/snap/db is not a file"))
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
		d.Members, err = r.members, r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return d.inUse(err, "another process")
	case err != nil:
		return d.Unusable(err)
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
func (d *Dir) holder() string {
	if f, err := os.Open(filepath.Join(d.Path, lockFile)); err == nil {
		text, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return fmt.Sprintf("process %d", pid)
		}
	}
	return "another process"
}

func (d *Dir) inUse(err error, by string) error {
	return fault.Wrap(err, fault.DataDirInUse, "data directory %s is in use by %s", d.Path, by).
		WithFix("stop that process, or choose another data directory").With("path", d.Path)
}

// Unusable returns the error for a directory that cannot be used, and what to
// do about it.
func (d *Dir) Unusable(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	what, fix := "cannot be used", "check that it is a directory of this program, or choose another data directory"
	switch {
	case strings.Contains(err.Error(), "invalid downgrade"), strings.Contains(err.Error(), "unknown storage version"):
		return fault.Wrap(err, fault.StoreFormat, "data directory %s was written by a newer etcd", d.Path).
			WithFix("use a newer ruedo, or choose another data directory").With("path", d.Path)
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
	why := ": " + Cause(err).Error()
	if errors.Is(err, syscall.ENOTDIR) { // it is said
		why = ""
	}
	return fault.Wrap(err, fault.DataDir, "data directory %s %s%s", d.Path, what, why).
		WithFix("%s", fix).With("path", d.Path)
}

// holdsData reports whether a store was created here.
func (d *Dir) holdsData() bool {
	_, err := os.Stat(filepath.Join(d.Path, "member"))
	return err == nil
}

// Exists reports whether a store was created in a directory. It is true as well
// if that cannot be found out; [Open] then fails and says why.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "member"))
	return !errors.Is(err, fs.ErrNotExist)
}

// What to do about a disk that is full, and about one that is read-only.
const (
	MakeRoom     = "make room on its disk; writes are accepted again on their own"
	MakeWritable = "make it writable; writes are accepted again on their own"
)

// Writable returns STORE_FULL if the disk has less free space than the reserve,
// and DATA_DIR_READ_ONLY if the directory cannot be written.
func (d *Dir) Writable() error {
	if err := writeAccess(d.Path); err != nil {
		return fault.Wrap(err, fault.DataDirReadOnly, "data directory %s can no longer be written: %v", d.Path, err).
			WithFix(MakeWritable).With("path", d.Path)
	}
	if free, err := freeSpace(d.Path); err == nil && free < d.reserve {
		return fault.New(fault.StoreFull, "the disk of data directory %s is full: %s are free, %s are reserved for the store itself", d.Path, text.Size(free), text.Size(d.reserve)).
			WithFix(MakeRoom).With("path", d.Path)
	}
	return nil
}

// Cause returns the innermost error, which is the system's.
func Cause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
