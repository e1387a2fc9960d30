package etcdembed

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

const (
	// ballastFile takes room on the disk so that there is some to release when
	// the disk is full: etcd writes a little when it starts, and allocates a file
	// of its log.
	ballastFile  = "ruedo.ballast"
	ballastBytes = segmentBytes + 4<<20
	// ballastEvery is how often a running server looks whether there is room for
	// ballast that was released.
	ballastEvery = time.Minute
)

// dropBallast releases the ballast if the disk is full.
func (d *dataDir) dropBallast() {
	if free, err := freeSpace(d.path); err == nil && free < d.reserve {
		_ = os.Remove(filepath.Join(d.path, ballastFile)) // if there is none, etcd may have room all the same
	}
}

// takeBallast takes the room for the ballast if the disk has it to spare. Without
// ballast, only the next start on a full disk can fail.
func (d *dataDir) takeBallast() {
	path := filepath.Join(d.path, ballastFile)
	if _, err := os.Stat(path); err == nil || d.temporary {
		return
	}
	if free, err := freeSpace(d.path); err != nil || free < d.reserve+ballastBytes+segmentBytes {
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
