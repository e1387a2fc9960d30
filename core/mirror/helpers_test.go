package mirror

import (
	"log/slog"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testStore is a store with direct access to its etcd.
type testStore struct {
	*store.Store
	client *clientv3.Client // nil unless it was given one
	logger *slog.Logger
}

func open(t *testing.T, cfg store.Config) *testStore {
	t.Helper()
	if cfg.Cluster == "" {
		cfg.Cluster = "main"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &testStore{s, cfg.Client, cfg.Logger}
}

// fresh returns a store on an etcd of its own.
func fresh(t *testing.T) *testStore {
	t.Helper()
	return open(t, store.Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client()})
}

func decorator(name string) *ruedov1.Decorator {
	return &ruedov1.Decorator{Name: name, Limits: &ruedov1.Limits{MemoryBytes: 1 << 20}}
}
