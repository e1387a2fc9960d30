package fleet

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// A process without the permission to write gets the error immediately.
func TestRegisterWithoutPermission(t *testing.T) {
	c := etcdtest.Start(t, etcdembed.Config{}).Client()
	c.Lease = refusing{c.Lease}
	cluster, err := Open(Config{Client: c, Cluster: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	if m, err := cluster.RegisterRunner(t.Context(), &ruedov1.Runner{Id: "edge-1"}, 0); m != nil || !errors.Is(err, fault.StoreUnavailable) {
		t.Errorf("%v, %v, want STORE_UNAVAILABLE", m, err)
	}
}

// refusing grants no lease.
type refusing struct{ clientv3.Lease }

func (refusing) Grant(context.Context, int64) (*clientv3.LeaseGrantResponse, error) {
	return nil, rpctypes.ErrPermissionDenied
}

// stored returns the value and the lease of the runner edge-1, and whether there is
// one.
func stored(t *testing.T, c *clientv3.Client) (string, clientv3.LeaseID, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	got, err := c.Get(ctx, "/ruedo/main/runners/edge-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) == 0 {
		return "", 0, false
	}
	return string(got.Kvs[0].Value), clientv3.LeaseID(got.Kvs[0].Lease), true
}
