package peers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"
)

// membersBucket is where etcd's database lists the members of the store.
var membersBucket = []byte("members")

// Identity is what a data directory says about its member.
type Identity struct {
	Path string
	// Cluster and Member are etcd's ids; zero if the directory is empty.
	Cluster, Member uint64
	// Members are those that the directory knows, this one included.
	Members []Member
}

// ReadMembers returns the members that a database lists. It ignores what it
// cannot read: etcd reports that itself.
func ReadMembers(tx *bolt.Tx) (members []Member) {
	b := tx.Bucket(membersBucket)
	if b == nil {
		return nil
	}
	_ = b.ForEach(func(_, v []byte) error {
		var m Member
		if json.Unmarshal(v, &m) == nil {
			members = append(members, m)
		}
		return nil
	})
	return members
}

// ReadIdentity returns which member of which store a data directory belongs to.
// members are those of its database.
func ReadIdentity(dir string, members []Member) (Identity, error) {
	id := Identity{Path: dir, Members: members}
	logs, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		return id, nil
	}
	slices.Sort(logs)
	var meta etcdserverpb.Metadata
	if err := readMetadata(logs[len(logs)-1], &meta); err != nil {
		return id, fmt.Errorf("its log cannot be read: %w", err)
	}
	id.Cluster, id.Member = meta.GetClusterID(), meta.GetNodeID()
	return id, nil
}

// readMetadata reads the metadata with which each file of a log begins.
func readMetadata(path string, meta *etcdserverpb.Metadata) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	decoder := wal.NewDecoder(fileutil.NewFileReader(f))
	for range 8 {
		var rec walpb.Record
		if err := decoder.Decode(&rec); err != nil {
			return err
		}
		switch rec.GetType() {
		case wal.CrcType:
			decoder.UpdateCRC(rec.GetCrc())
		case wal.MetadataType:
			return proto.Unmarshal(rec.Data, meta)
		}
	}
	return fmt.Errorf("%s names no member", filepath.Base(path))
}
