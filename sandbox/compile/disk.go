package compile

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// disk logs what becomes of a directory: one line when it cannot be used any
// more, and one when it can be again.
type disk struct {
	log    *slog.Logger
	dir    string
	what   string // cannot be done without it
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

// aboutDisk reports whether err is about a file or a directory.
func aboutDisk(err error) bool {
	_, path := errors.AsType[*fs.PathError](err)
	_, link := errors.AsType[*os.LinkError](err)
	_, own := errors.AsType[*diskError](err)
	return path || link || own
}

// full reports whether err says that there is no room on the disk.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// diskError marks errors about files whose type does not say so.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

// noDisk is the answer when the working directory cannot be used. Its text names
// no path: it goes to whoever sent the module.
func noDisk(err error) *fault.Error {
	return fault.Wrap(err, fault.RunnerDisk, "the compiler cannot write to its disk").
		WithFix("try again later; the runner's log names the directory and what is wrong with it")
}
