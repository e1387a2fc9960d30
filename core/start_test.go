package core_test

import (
	"context"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// config returns the configuration of a separate core on a store.
func config(e *etcdembed.Server) core.Config {
	return core.Config{Cluster: "test", Store: store.Config{Client: e.Client(), Check: e.Check}, Listen: "127.0.0.1:0", Distributed: true}
}

func listed(t *testing.T, e *etcdembed.Server) int64 {
	t.Helper()
	got, err := e.Client().Get(t.Context(), "/ruedo/test/cores/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return got.Count
}

// Runners and other cores find a core in the list, so it is there for as long as
// the core serves.
func TestACoreIsListedWhileItServes(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	c, err := core.New(t.Context(), config(e))
	if err != nil {
		t.Fatal(err)
	}
	if n := listed(t, e); n != 0 {
		t.Errorf("%d cores are listed before one serves", n)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()
	testkit.Eventually(t, "the core is listed", func() bool { return listed(t, e) == 1 })
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := listed(t, e); n != 0 {
		t.Errorf("%d cores are listed after it has closed", n)
	}
}

// If a part cannot be created, those created before it are closed again.
func TestACoreThatCannotStartLeavesNothingBehind(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	first, err := core.New(t.Context(), config(e))
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(e)
	cfg.Cluster = "Not A Cluster"
	if c, err := core.New(t.Context(), cfg); err == nil {
		t.Errorf("a core of cluster %q: %v", cfg.Cluster, c)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A core that is told to stop while it starts has not failed.
func TestACoreCanBeStoppedWhileItStarts(t *testing.T) {
	c, err := core.New(t.Context(), config(etcdtest.Start(t, etcdembed.Config{})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.Serve(ctx); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}
