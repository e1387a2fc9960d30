package core_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core"
	"github.com/ruedo-dev/ruedo/core/store/format"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/archive"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// A core of a newer version migrates the store while one of the older version leads
// and serves calls; that one goes on from memory, and its backup can be gone back to.
func TestACoreMigratesAnOlderStore(t *testing.T) {
	old := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, old, &ruedov1.PublishServiceRequest{Description: "as it was"})
	leads(t, old)

	cfg := config(old.Etcd)
	cfg.Store.Format, cfg.BackupDir = 3, filepath.Join(t.TempDir(), "backups")
	cfg.Steps = format.Steps{2: func(path string, value []byte) ([]byte, error) {
		if path != "services/echo" {
			return value, nil
		}
		var s ruedov1.Service
		if err := proto.Unmarshal(value, &s); err != nil {
			return nil, err
		}
		s.Description = "as it is now"
		return proto.Marshal(&s)
	}}
	newer, err := core.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := newer.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	now, err := old.Etcd.Client().Get(t.Context(), "/ruedo/test/services/echo")
	if err != nil || len(now.Kvs) != 1 || !strings.Contains(string(now.Kvs[0].Value), "as it is now") {
		t.Fatalf("%v, %v", now, err)
	}

	testkit.Eventually(t, "the older core says so", func() bool {
		status, err := old.Client.Cluster.GetStatus(t.Context(), &ruedov1.GetStatusRequest{})
		return err == nil && len(status.GetAlarms()) > 0 && status.GetAlarms()[0].GetReason() == string(fault.StoreFormat)
	})
	if res, body := post(t, old, "echo", `{"n":1}`); res.StatusCode != 200 {
		t.Errorf("a call: %s %s", res.Status, body)
	}
	_, err = old.Client.Services.DeleteService(t.Context(), &ruedov1.DeleteServiceRequest{Name: "echo"})
	wantReason(t, err, fault.StoreFormat, "store has format 3, this ruedo knows 2")

	testkit.Eventually(t, "the migration is recorded", func() bool {
		res, err := old.Etcd.Client().Get(t.Context(), "/ruedo/test/events/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(res.Kvs, func(kv *mvccpb.KeyValue) bool {
			return strings.Contains(string(kv.Value), "from format 2 to 3; before that, a backup was written to ")
		})
	})

	files, err := filepath.Glob(filepath.Join(cfg.BackupDir, "backup-format-2-*.tar.zst"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	header, sum, err := archive.Verify(f, archive.Limits{})
	if err != nil || header.StoreFormat != 2 || sum.Services != 1 || sum.Modules != 1 {
		t.Errorf("%+v, %+v, %v", header, sum, err)
	}
}
