// Package etcdtest starts embedded stores for tests.
package etcdtest

import (
	"testing"

	"github.com/ruedo-dev/ruedo/internal/etcdembed"
)

// Start starts a store that ends with the test and does not sync its writes to
// the disk. Without a directory in cfg it has a temporary one.
func Start(t testing.TB, cfg etcdembed.Config) *etcdembed.Server {
	t.Helper()
	cfg.UnsafeNoFsync = true
	e, err := etcdembed.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Stop(t, e) })
	return e
}

// Stop stops a store before its test ends. It can be called again.
func Stop(t testing.TB, e *etcdembed.Server) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Errorf("close etcd: %v", err)
	}
}
