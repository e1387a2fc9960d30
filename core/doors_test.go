package core_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core"
	doors "github.com/ruedo-dev/ruedo/core/door"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/seal"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// TLS that nobody has asked for is left out in a cluster that has nothing to certify
// with, so that a core of an older cluster starts as it did. The URL says which it is.
func TestTLSThatIsOptional(t *testing.T) {
	etcd := etcdtest.Start(t, etcdembed.Config{})
	start := func(cluster, url string, login bool, tls *doors.TLS) (*core.Core, error) {
		c, err := core.New(t.Context(), core.Config{
			Cluster: cluster, Store: store.Config{Client: etcd.Client()}, Listen: "127.0.0.1:0", URL: url, Distributed: true, TLS: tls,
			Login: core.Login{New: login, Seal: seal.Source{File: filepath.Join(t.TempDir(), "seal.key")}},
		})
		if err == nil {
			t.Cleanup(func() {
				if err := c.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		return c, err
	}
	for _, tt := range []struct {
		cluster, url string
		login        bool
		want         string
	}{
		{"off", "", false, "http://127.0.0.1:"},
		{"off", "core-1:7833", false, "http://core-1:7833"},
		{"off", "https://proxy", false, "https://proxy"},
		{"on", "core-1:7833", true, "https://core-1:7833"},
	} {
		c, err := start(tt.cluster, tt.url, tt.login, &doors.TLS{Optional: true})
		if err != nil {
			t.Fatalf("%+v: %v", tt, err)
		}
		if !strings.HasPrefix(c.URL(), tt.want) {
			t.Errorf("%+v: the URL is %s", tt, c.URL())
		}
	}
	_, err := start("off", "", false, &doors.TLS{})
	testkit.WantReason(t, err, fault.ConfigInvalid, "there is no certificate")
}
