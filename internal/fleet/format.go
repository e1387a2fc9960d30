package fleet

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// Format is the storage format that this program reads and writes.
const Format = 1

// CheckFormat makes sure that the cluster's keys are of this program's format:
// STORE_FORMAT where they are not, STORE_UNAVAILABLE, with hosts named, where
// the store does not answer within ctx or the timeout. With create it writes
// the number where there is none; several processes may do so at once.
func CheckFormat(ctx context.Context, client *clientv3.Client, space keys.Space, hosts []string, timeout time.Duration, create bool) error {
	opctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := checkFormat(opctx, client, space, create)
	return unreachable(Fault(ctx, err, "read the storage format"), hosts)
}

func checkFormat(ctx context.Context, client *clientv3.Client, space keys.Space, create bool) error {
	// A read first: it works on a store that is full, too.
	got, err := client.Get(ctx, space.Format())
	if err != nil {
		return err
	}
	if len(got.Kvs) > 0 {
		return readFormat(got.Kvs[0].Value, space)
	}
	if !create {
		return nil
	}
	value, err := proto.Marshal(&storev1.Format{Number: Format})
	if err != nil {
		return err
	}
	made, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(space.Format()), "=", 0)).
		Then(clientv3.OpPut(space.Format(), string(value))).
		Else(clientv3.OpGet(space.Format())).
		Commit()
	if err != nil || made.Succeeded {
		return err
	}
	if kvs := made.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		return readFormat(kvs[0].Value, space)
	}
	return nil
}

func readFormat(value []byte, space keys.Space) error {
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
