package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

const (
	// SegmentBytes is the size of a file of etcd's log. etcd allocates one of them
	// ahead of need, and fails if there is no room for it when the log gets there.
	SegmentBytes = 4 << 20
	// ballastFile takes room on the disk so that there is some to release when
	// the disk is full: etcd writes a little when it starts, and allocates a file
	// of its log.
	ballastFile  = "ruedo.ballast"
	ballastBytes = SegmentBytes + 4<<20
	// BallastEvery is how often a running server looks whether there is room for
	// ballast that was released.
	BallastEvery = time.Minute
)

// DropBallast releases the ballast if the disk is full.
func (d *Dir) DropBallast() {
	if free, err := freeSpace(d.Path); err == nil && free < d.reserve {
		_ = os.Remove(filepath.Join(d.Path, ballastFile)) // if there is none, etcd may have room all the same
	}
}

// TakeBallast takes the room for the ballast if the disk has it to spare. Without
// ballast, only the next start on a full disk can fail.
func (d *Dir) TakeBallast() {
	path := filepath.Join(d.Path, ballastFile)
	if _, err := os.Stat(path); err == nil || d.temporary {
		return
	}
	if free, err := freeSpace(d.Path); err != nil || free < d.reserve+ballastBytes+SegmentBytes {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	if err := errors.Join(fileutil.Preallocate(f, ballastBytes, true), f.Close()); err != nil {
		_ = os.Remove(path)
	}
}
