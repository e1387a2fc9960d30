package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func dial(t *testing.T, s *etcdembed.Server, logger *slog.Logger) *Directory {
	t.Helper()
	d, err := Dial(t.Context(), DirectoryConfig{Hosts: []string{s.Endpoint()}, Cluster: "main", TTL: time.Second, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func putCore(t *testing.T, s *etcdembed.Server, cluster, id, url string) {
	t.Helper()
	value, err := proto.Marshal(&ruedov1.Core{Id: id, Url: url})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Put(t.Context(), "/ruedo/"+cluster+"/cores/"+id, string(value)); err != nil {
		t.Fatal(err)
	}
}

func deleteCore(t *testing.T, s *etcdembed.Server, id string) {
	t.Helper()
	if _, err := s.Client().Delete(t.Context(), "/ruedo/main/cores/"+id); err != nil {
		t.Fatal(err)
	}
}

// await reads sets of cores until the wanted one arrives.
func await(t *testing.T, ch <-chan []*ruedov1.Core, want string) {
	t.Helper()
	deadline := time.After(testkit.Patience)
	var got string
	for {
		select {
		case set, ok := <-ch:
			if !ok {
				t.Fatalf("closed, want %s", want)
			}
			got = text(set)
			if got == want {
				return
			}
		case <-deadline:
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func text(set []*ruedov1.Core) string {
	var b strings.Builder
	for _, c := range set {
		fmt.Fprintf(&b, "%s=%s ", c.GetId(), c.GetUrl())
	}
	return b.String()
}

func TestCoresAreFollowed(t *testing.T) {
	s := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	putCore(t, s, "main", "b", "u1")
	putCore(t, s, "main-2", "x", "other")
	d := dial(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ch := d.Cores(ctx)
	if first := text(<-ch); first != "b=u1 " {
		t.Fatalf("first %q, want the present set", first)
	}
	putCore(t, s, "main", "a", "u2")
	await(t, ch, "a=u2 b=u1 ")
	putCore(t, s, "main", "b", "u3")
	await(t, ch, "a=u2 b=u3 ")
	putCore(t, s, "main-2", "y", "other")
	deleteCore(t, s, "a")
	await(t, ch, "b=u3 ")
	// Keys and values that are not cores are not shown, and do no harm.
	for _, key := range []string{"/ruedo/main/cores/../x", "/ruedo/main/cores/a/b", "/ruedo/main/cores/UP", "/ruedo/main/cores/c"} {
		if _, err := s.Client().Put(t.Context(), key, "\xff\xff\xff\xff"); err != nil {
			t.Fatal(err)
		}
	}
	deleteCore(t, s, "b")
	await(t, ch, "")
	cancel()
	testkit.Eventually(t, "the channel is closed", func() bool {
		select {
		case _, ok := <-ch:
			return !ok
		default:
			return false
		}
	})
}

func TestCoresOfAnEmptyClusterAreSent(t *testing.T) {
	s := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	ch := dial(t, s, nil).Cores(t.Context())
	select {
	case set := <-ch:
		if len(set) != 0 {
			t.Errorf("got %s", text(set))
		}
	case <-time.After(testkit.Patience):
		t.Error("nothing is sent")
	}
}

func TestCoresSurviveAnOutageWithCompaction(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	s := etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: "127.0.0.1:0"})
	putCore(t, s, "main", "a", "u1")
	putCore(t, s, "main", "b", "u1")
	d := dial(t, s, nil)
	ch := d.Cores(t.Context())
	await(t, ch, "a=u1 b=u1 ")
	endpoint := s.Endpoint()
	etcdtest.Stop(t, s)
	// Changed and compacted while the watch cannot see it.
	s = etcdtest.Start(t, etcdembed.Config{Dir: dir})
	deleteCore(t, s, "a")
	for i := range 20 {
		putCore(t, s, "main", "c", fmt.Sprint("u", i))
	}
	got, err := s.Client().Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Compact(t.Context(), got.Header.Revision); err != nil {
		t.Fatal(err)
	}
	etcdtest.Stop(t, s)
	s = etcdtest.Start(t, etcdembed.Config{Dir: dir, ListenClient: endpoint})
	await(t, ch, "b=u1 c=u19 ")
	putCore(t, s, "main", "d", "u1")
	await(t, ch, "b=u1 c=u19 d=u1 ")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for range ch {
	}
}

func TestRegister(t *testing.T) {
	s := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	var log testkit.Log
	d := dial(t, s, slog.New(slog.NewTextHandler(&log, nil)))
	leave, err := d.Register(t.Context(), &ruedov1.Runner{Id: "edge-1", Host: "h"})
	if err != nil {
		t.Fatal(err)
	}
	if want := `level=INFO msg="registered runner with etcd database" id=edge-1 cluster=main`; strings.Count(log.String(), want) != 1 {
		t.Errorf("log is %q, want once %s", log.String(), want)
	}
	value, lease, ok := stored(t, s.Client())
	var r ruedov1.Runner
	if err := proto.Unmarshal([]byte(value), &r); !ok || err != nil || r.GetHost() != "h" || lease == 0 {
		t.Errorf("stored %v under lease %x, %t, %v", &r, lease, ok, err)
	}
	if err := leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := stored(t, s.Client()); ok {
		t.Error("still registered after leave")
	}
	for _, id := range []string{"", "..", "a/b", "UP", "a\x00"} {
		if _, err := d.Register(t.Context(), &ruedov1.Runner{Id: id}); err == nil {
			t.Errorf("id %q is registered", id)
		}
	}
	// leave is not called: Close ends the registration, and its lease runs out.
	if _, err := d.Register(t.Context(), &ruedov1.Runner{Id: "edge-1"}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the registration ran out", func() bool { _, _, ok := stored(t, s.Client()); return !ok })
}

// Package runner declares this interface; Directory must implement it.
var _ interface {
	Cores(ctx context.Context) <-chan []*ruedov1.Core
	Register(ctx context.Context, r *ruedov1.Runner) (leave func(context.Context) error, err error)
} = (*Directory)(nil)
