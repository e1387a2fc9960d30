package fleet

import (
	"context"
	"crypto/rand"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Format is the storage format that this program reads and writes.
const Format = 1

// CheckFormat makes sure that the cluster's keys are of this program's format
// and returns the stored value, nil if there is none: STORE_FORMAT if they are
// not, STORE_UNAVAILABLE, with hosts named, if the store does not answer within
// ctx or the timeout.
func CheckFormat(ctx context.Context, client *clientv3.Client, space keys.Space, hosts []string, timeout time.Duration) (value []byte, err error) {
	opctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	got, err := client.Get(opctx, space.Format())
	if err != nil {
		return nil, unreachable(Fault(ctx, err, "read the storage format"), hosts)
	}
	if len(got.Kvs) == 0 {
		return nil, nil
	}
	return got.Kvs[0].Value, ReadFormat(got.Kvs[0].Value, space)
}

// CreateFormat writes the format if there is none and returns what is stored;
// several processes may do so at the same time. If cores are registered, the
// cluster is not new and has lost its format with everything else: STORE_EMPTY,
// unless acceptEmpty.
func CreateFormat(ctx context.Context, client *clientv3.Client, space keys.Space, timeout time.Duration, acceptEmpty bool) (value []byte, err error) {
	value, err = proto.Marshal(&storev1.Format{Number: Format, Id: rand.Text()})
	if err != nil {
		return nil, err
	}
	guard := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(space.Format()), "=", 0)}
	if !acceptEmpty {
		guard = append(guard, clientv3.Compare(clientv3.CreateRevision(space.Cores()).WithPrefix(), "=", 0))
	}
	opctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	made, err := client.Txn(opctx).
		If(guard...).
		Then(clientv3.OpPut(space.Format(), string(value))).
		Else(clientv3.OpGet(space.Format())).
		Commit()
	if err != nil {
		return nil, Fault(ctx, err, "write the storage format")
	}
	if made.Succeeded {
		return value, nil
	}
	kvs := made.Responses[0].GetResponseRange().GetKvs()
	if len(kvs) == 0 {
		return nil, StoreEmpty("cluster %s has registered cores, but no catalog and no format number", space.Cluster())
	}
	return kvs[0].Value, ReadFormat(kvs[0].Value, space)
}

// ReadFormat reports, by its error, whether a stored format is one that this
// program reads and writes: STORE_FORMAT.
func ReadFormat(value []byte, space keys.Space) error {
	var f storev1.Format
	switch err := proto.Unmarshal(value, &f); {
	case err != nil || f.GetNumber() == 0:
		return fault.Wrap(err, fault.StoreFormat, "cluster %s of the store has no readable format number", space.Cluster()).
			WithFix("use another store or cluster id: something else wrote there")
	case f.GetNumber() != Format:
		return fault.New(fault.StoreFormat, "store has format %d, this ruedo knows %d; use a newer ruedo", f.GetNumber(), Format).
			WithFix("use a newer ruedo, or another cluster id")
	}
	return nil
}

// SameStore reports whether two format values are of one store for certain. A
// format that an older version wrote has no id, so nothing is certain of it.
func SameStore(a, b []byte) bool {
	var fa, fb storev1.Format
	return proto.Unmarshal(a, &fa) == nil && proto.Unmarshal(b, &fb) == nil && fa.GetId() != "" && fa.GetId() == fb.GetId()
}

// StoreEmpty makes the error for a store that has lost its catalog.
func StoreEmpty(format string, args ...any) *fault.Error {
	return fault.New(fault.StoreEmpty, "the store has lost its data: "+format, args...).
		WithFix("restore the data of etcd; or, to go on with what the store has now, restart the core with --accept-empty")
}
