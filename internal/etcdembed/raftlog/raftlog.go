// Package raftlog reads and changes the write-ahead log of a member that does not
// run.
package raftlog

import (
	"errors"
	"io"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Commit marks everything in the log of a data directory as committed. etcd writes
// down what is committed a little later than it acknowledges it, and a forced start
// drops the rest: changes that were acknowledged.
func Commit(dir string) error {
	logs := filepath.Join(dir, "member", "wal")
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), logs)
	if err != nil {
		return err
	}
	var from walpb.Snapshot
	if len(snapshots) > 0 {
		last := snapshots[len(snapshots)-1]
		from.Index, from.Term = proto.Uint64(last.GetIndex()), proto.Uint64(last.GetTerm())
	}
	err = commit(logs, &from)
	// The last record can be cut off, if the machine died while it was written.
	if errors.Is(err, io.ErrUnexpectedEOF) && wal.Repair(zap.NewNop(), logs) {
		err = commit(logs, &from)
	}
	return err
}

func commit(logs string, from *walpb.Snapshot) error {
	log, err := wal.Open(zap.NewNop(), logs, from)
	if err != nil {
		return err
	}
	_, state, entries, err := log.ReadAll()
	if err == nil && len(entries) > 0 && state != nil {
		if last := entries[len(entries)-1].GetIndex(); last > state.GetCommit() {
			state.Commit = proto.Uint64(last)
			err = log.Save(state, nil)
		}
	}
	return errors.Join(err, log.Close())
}
