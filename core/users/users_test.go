package users_test

import (
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/coretest/userstest"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is the users of a cluster, with their store.
type house struct {
	*userstest.House
	client *clientv3.Client
}

func open(t *testing.T) *house {
	t.Helper()
	client := etcdtest.Start(t, etcdembed.Config{}).Client()
	st, err := store.Open(t.Context(), store.Config{Client: client, Cluster: "main", OpTimeout: testkit.Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return &house{userstest.Open(t, st), client}
}
