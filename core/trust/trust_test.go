package trust_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	"github.com/ruedo-dev/ruedo/core/trust"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/seal"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// client is that of a store which all tests share; each has a cluster of its own.
var client *clientv3.Client

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "trust-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		etcd, err := etcdembed.Start(context.Background(), etcdembed.Config{Dir: dir, UnsafeNoFsync: true})
		if err != nil {
			panic(err)
		}
		defer etcd.Close()
		client = etcd.Client()
		return m.Run()
	}())
}

// opened is a core's store with what it trusts.
type opened struct {
	*trust.Trust
	store *store.Store
}

// open opens the trust of a core on a store.
func open(t *testing.T, cluster, file string, login, strict bool) (opened, error) {
	t.Helper()
	var o opened
	s, err := store.Open(t.Context(), store.Config{Client: client, Cluster: cluster, AuditKey: func() []byte {
		if o.Trust == nil {
			return nil
		}
		return o.AuditKey()
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	o.store = s
	o.Trust, err = trust.Open(storetest.Context(t), trust.Config{
		Principals: principals.New(principals.Config{Cluster: s.Cluster(), Guard: s.Guard(), Missing: s.Missing}),
		Space:      s.Cluster().Space(), Seal: seal.Source{File: file}, Login: login, Strict: strict,
	})
	return o, err
}

// follow starts the mirror of a core.
func (o opened) follow(t *testing.T) {
	t.Helper()
	m, err := mirror.Open(t.Context(), mirror.Config{Store: o.store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	o.Follow(m)
}

func TestCoresOfAClusterTrustTheSame(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seal.key")
	first, err := open(t, "same", file, true, false)
	if err != nil {
		t.Fatal(err)
	}
	second, err := open(t, "same", file, true, true)
	if err != nil {
		t.Fatal(err)
	}
	first.follow(t)
	second.follow(t)
	if first.Pin() == "" || first.Pin() != second.Pin() || string(first.AuditKey()) != string(second.AuditKey()) || string(first.CoreKey()) != string(second.CoreKey()) {
		t.Error("two cores have different keys")
	}
	if string(first.AuditKey()) == string(first.CoreKey()) || len(first.AuditKey()) < 32 {
		t.Error("the keys are not keys of their own")
	}

	_, err = open(t, "same", filepath.Join(t.TempDir(), "none"), true, false)
	testkit.WantReason(t, err, fault.SealKeyMissing)
	other := filepath.Join(t.TempDir(), "other")
	if _, err := (seal.Source{File: other}).LoadOrMake(); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, "same", other, true, false)
	testkit.WantReason(t, err, fault.SealKeyWrong)
}

// What a cluster is decides, unless the core was told that it is otherwise.
func TestLoginsAreAPropertyOfTheCluster(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seal.key")
	off, err := open(t, "off", file, false, true)
	if err != nil {
		t.Fatal(err)
	}
	off.follow(t)
	if off.Pin() != "" || off.AuditKey() != nil || off.CoreKey() != nil {
		t.Error("a cluster without logins has keys")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a cluster without logins has a seal key")
	}
	storetest.Put(t, off.store, storetest.Wasm("a"))
	storetest.Publish(t, off.store, storetest.Service("greet", 1, storetest.Wasm("a")), 0)
	if again, err := open(t, "off", file, true, false); err != nil || again.AuditKey() != nil {
		t.Errorf("a core that takes what there is: %v", err)
	}
	_, err = open(t, "off", file, true, true)
	testkit.WantReason(t, err, fault.ClusterMismatch, "nobody has to log in")
	if _, err := os.Stat(file); err == nil {
		t.Error("a seal key was made for a cluster that is not new")
	}

	if err := off.RequireLogin(storetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the authority is there", func() bool { return off.Pin() != "" })
	_, err = open(t, "off", file, false, true)
	testkit.WantReason(t, err, fault.ClusterMismatch, "have to log in")
	if again, err := open(t, "off", file, false, false); err != nil || again.AuditKey() == nil {
		t.Errorf("a core that takes what there is: %v", err)
	}
}

func TestRotate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seal.key")
	a, err := open(t, "rotated", file, true, false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := open(t, "rotated", file, true, false)
	if err != nil {
		t.Fatal(err)
	}
	a.follow(t)
	b.follow(t)
	old := a.Pin()
	if err := a.Rotate(storetest.Context(t), false); err != nil {
		t.Fatal(err)
	}
	if n := len(a.Authorities()); a.Pin() == old || n != 2 || a.Authorities()[0].Bridge() == nil {
		t.Errorf("%d authorities after a rotation", n)
	}
	testkit.Eventually(t, "the other core has the new authority", func() bool { return b.Pin() == a.Pin() })

	err = a.Rotate(storetest.Context(t), false)
	testkit.WantReason(t, err, fault.Conflict, "vouches for it until")
	second := a.Pin()
	if err := a.Rotate(storetest.Context(t), true); err != nil {
		t.Fatal(err)
	}
	if all := a.Authorities(); len(all) != 2 || all[1].Pin() != second {
		t.Errorf("%d authorities after two rotations", len(all))
	}

	off, err := open(t, "rotated-off", file, false, false)
	if err != nil {
		t.Fatal(err)
	}
	testkit.WantReason(t, off.Rotate(storetest.Context(t), false), fault.NotFound)
}
