package cache

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
)

// disk logs the state of a directory: one line when it becomes unusable, and
// one when it is usable again.
type disk struct {
	log    *slog.Logger
	dir    string
	what   string // what cannot be done without it
	fix    string
	broken atomic.Bool
}

func (d *disk) failed(err error) {
	if !d.broken.Swap(true) {
		d.log.Warn(d.what+": the directory cannot be used", "dir", d.dir, "error", err, "fix", d.fix)
	}
}

func (d *disk) worked() {
	if d.broken.Load() && d.broken.Swap(false) {
		d.log.Info("a directory can be used again", "dir", d.dir)
	}
}

// AboutDisk reports whether err is about a file or a directory.
func AboutDisk(err error) bool {
	_, path := errors.AsType[*fs.PathError](err)
	_, link := errors.AsType[*os.LinkError](err)
	_, own := errors.AsType[*diskError](err)
	return path || link || own
}

// Full reports whether err means that the disk is full.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// DiskError marks an error about files whose type does not show it, for AboutDisk.
func DiskError(err error) error { return &diskError{err} }

type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }
