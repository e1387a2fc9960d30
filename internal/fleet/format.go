package fleet

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Format is the storage format that this program reads and writes.
const Format = 2

// restoring is the number of a store that is being restored. Programs that do not
// know about restores refuse it as one of a newer program.
const restoring = 1 << 20

// maxReplaced is how many restores a format remembers.
const maxReplaced = 8

// CheckFormat checks that the cluster's keys have this program's format. It
// returns the stored value, nil if there is none. It fails with STORE_FORMAT if
// the format is another one, and with STORE_UNAVAILABLE, which names the hosts,
// if the store does not answer within ctx or OpTimeout.
func (c *Cluster) CheckFormat(ctx context.Context) (value []byte, err error) {
	if value, err = c.StoredFormat(ctx); value == nil || err != nil {
		return nil, err
	}
	return value, c.ReadFormat(value)
}

// StoredFormat returns the format of the cluster's keys, whatever it is, and nil
// if there is none. It fails with STORE_UNAVAILABLE, which names the hosts, if
// the store does not answer within ctx or OpTimeout.
func (c *Cluster) StoredFormat(ctx context.Context) (value []byte, err error) {
	var got *clientv3.GetResponse
	err = c.Do(ctx, "read the storage format", func(ctx context.Context) (err error) {
		got, err = c.client.Get(ctx, c.space.Format())
		return err
	})
	switch {
	case err != nil:
		return nil, c.unreachable(ctx, err)
	case len(got.Kvs) == 0:
		return nil, nil
	}
	return got.Kvs[0].Value, nil
}

// CreateFormat writes the format if there is none, and returns the stored
// value. Several processes can call it at the same time. If cores are
// registered, the cluster is not new and has lost its format along with
// everything else. Then it fails with STORE_EMPTY, unless acceptEmpty is true.
func (c *Cluster) CreateFormat(ctx context.Context, acceptEmpty bool) (value []byte, err error) {
	value, err = proto.Marshal(&storev1.Format{Number: c.format, Id: rand.Text()})
	if err != nil {
		return nil, err
	}
	guard := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(c.space.Format()), "=", 0)}
	if !acceptEmpty {
		guard = append(guard, clientv3.Compare(clientv3.CreateRevision(c.space.Prefix(keys.KindCore)).WithPrefix(), "=", 0))
	}
	var made *clientv3.TxnResponse
	err = c.Do(ctx, "write the storage format", func(ctx context.Context) (err error) {
		made, err = c.client.Txn(ctx).
			If(guard...).
			Then(clientv3.OpPut(c.space.Format(), string(value))).
			Else(clientv3.OpGet(c.space.Format())).
			Commit()
		return err
	})
	if err != nil {
		return nil, err
	}
	if made.Succeeded {
		return value, nil
	}
	kvs := made.Responses[0].GetResponseRange().GetKvs()
	if len(kvs) == 0 {
		return nil, StoreEmpty("cluster %s has registered cores, but no catalog and no format number", c.space.Cluster())
	}
	return kvs[0].Value, c.ReadFormat(kvs[0].Value)
}

// ReadFormat returns STORE_FORMAT unless a stored format is the one that this
// process reads and writes, STORE_RESTORING while the catalog is being replaced,
// and STORE_MIGRATING while it is being converted to that format.
func (c *Cluster) ReadFormat(value []byte) error {
	var f storev1.Format
	switch err := proto.Unmarshal(value, &f); {
	case err != nil || f.GetNumber() == 0:
		return fault.Wrap(err, fault.StoreFormat, "cluster %s of the store has no readable format number", c.space.Cluster()).
			WithFix("use another store or cluster id: something else wrote there")
	case f.GetRestoring() != nil:
		return fault.New(fault.StoreRestoring, "the store is being restored to the backup of %s, since %s", f.GetRestoring().GetBackup(), f.GetRestoring().GetBeginTime().AsTime().Format(time.DateTime)).
			WithFix("wait until the restore has ended; if it was interrupted, repeat it")
	case f.GetNumber() > c.format:
		return fault.New(fault.StoreFormat, "store has format %d, this ruedo knows %d; use a newer ruedo", f.GetNumber(), c.format).
			WithFix("use a newer ruedo, or another cluster id")
	case f.GetMigration() != nil:
		return fault.New(fault.StoreMigrating, "the store is being migrated from format %d to %d, since %s; a backup is in %s",
			f.GetMigration().GetFrom(), f.GetNumber(), f.GetMigration().GetBeginTime().AsTime().Format(time.DateTime), f.GetMigration().GetBackup()).
			WithFix("wait until the migration has ended; if it was interrupted, start a core of this version, which goes on")
	case f.GetNumber() < c.format:
		return fault.New(fault.StoreFormat, "store has format %d, this ruedo knows %d; no core has migrated it yet", f.GetNumber(), c.format).
			WithFix("start a core of this version, which migrates it")
	}
	return nil
}

// SameStore reports whether two format values certainly belong to the same
// store. A format that an older version wrote has no id, so nothing is certain
// about it.
func SameStore(a, b []byte) bool {
	var fa, fb storev1.Format
	return proto.Unmarshal(a, &fa) == nil && proto.Unmarshal(b, &fb) == nil && fa.GetId() != "" && fa.GetId() == fb.GetId()
}

// Restore returns the format of a store while its catalog is replaced, given its
// format now (nil if it has none), and the format of the store afterwards.
func (c *Cluster) Restore(now []byte, backup string) (during, after []byte, err error) {
	var f storev1.Format
	if err := proto.Unmarshal(now, &f); err != nil {
		return nil, nil, fault.Wrap(err, fault.StoreFormat, "the store has no readable format number")
	}
	begun := &storev1.Format{
		Number: restoring, Id: f.GetId(), Replaced: f.GetReplaced(),
		Restoring: &storev1.Restoring{Token: rand.Text(), BeginTime: timestamppb.Now(), Backup: backup},
	}
	done := &storev1.Format{Number: c.format, Id: rand.Text(), Replaced: f.GetReplaced()}
	if f.GetId() != "" {
		done.Replaced = append(done.Replaced, f.GetId())
		done.Replaced = done.Replaced[max(0, len(done.Replaced)-maxReplaced):]
	}
	if during, err = proto.Marshal(begun); err == nil {
		after, err = proto.Marshal(done)
	}
	return during, after, err
}

// Replaces reports whether the catalog of the store with the format now replaced,
// by a restore, that of the store with the format known.
func Replaces(now, known []byte) bool {
	var n, k storev1.Format
	return proto.Unmarshal(now, &n) == nil && proto.Unmarshal(known, &k) == nil && k.GetId() != "" && slices.Contains(n.GetReplaced(), k.GetId())
}

// storeIDLength is how much of the random id of a store StoreID returns: 50 bits.
const storeIDLength = 10

// StoreID returns a short id of the store and cluster that a format value belongs
// to, in lower-case letters and digits. It is "" for the format of an older
// version, which has no id.
func StoreID(format []byte) string {
	var f storev1.Format
	if proto.Unmarshal(format, &f) != nil {
		return ""
	}
	id := strings.ToLower(f.GetId())
	return id[:min(len(id), storeIDLength)]
}

// FormatNumber returns the number in a format value, 0 if there is none.
func FormatNumber(format []byte) uint32 {
	var f storev1.Format
	if proto.Unmarshal(format, &f) != nil {
		return 0
	}
	return f.GetNumber()
}

// StoreEmpty returns the error for a store that has lost its catalog.
func StoreEmpty(format string, args ...any) *fault.Error {
	return fault.New(fault.StoreEmpty, "the store has lost its data: "+format, args...).
		WithFix("restore the data of etcd; or, to continue with what the store has now, restart the core with --accept-empty")
}
