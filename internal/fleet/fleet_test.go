package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silent returns the address of a port that accepts connections and never
// answers.
func silent(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

func TestFault(t *testing.T) {
	for _, c := range []struct {
		err  error
		want fault.Reason
	}{
		{rpctypes.ErrNoSpace, fault.StoreFull},
		{rpctypes.ErrRequestTooLarge, fault.RequestInvalid},
		{rpctypes.ErrPermissionDenied, fault.StoreUnavailable},
		{rpctypes.ErrNoLeader, fault.StoreUnavailable},
		{rpctypes.ErrTimeout, fault.StoreUnavailable},
		{rpctypes.ErrStopped, fault.StoreUnavailable},
		{rpctypes.ErrTooManyRequests, fault.StoreUnavailable},
		{context.DeadlineExceeded, fault.StoreUnavailable},
		{context.Canceled, fault.StoreUnavailable}, // our own client was closed
		{status.Error(codes.Unavailable, "x"), fault.StoreUnavailable},
		{status.Error(codes.DeadlineExceeded, "x"), fault.StoreUnavailable},
		{errors.New("x"), fault.Internal},
		{fault.New(fault.Conflict, "x"), fault.Conflict},
	} {
		if got := TranslateError(t.Context(), c.err, "write"); !errors.Is(got, c.want) {
			t.Errorf("%v becomes %v, want %s", c.err, fault.ReasonOf(got), c.want)
		}
	}
	if err := TranslateError(t.Context(), nil, "write"); err != nil {
		t.Errorf("no error becomes %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := TranslateError(ctx, rpctypes.ErrTimeout, "write"); err != context.Canceled {
		t.Errorf("a caller's cancel becomes %v", err)
	}
}

func TestHostsAreChecked(t *testing.T) {
	for _, hosts := range [][]string{nil, {""}, {"localhost"}, {"http://127.0.0.1:2379"}, {":2379"}, {"a:0"}, {"a:70000"}, {"a:b"}, {"127.0.0.1:2379", "user:secret@b:1"}, {"a/b:1"}} {
		c, err := connect(hosts, nil, Login{}, DefaultOpTimeout)
		if !errors.Is(err, fault.ConfigInvalid) {
			t.Errorf("%q: %v, want CONFIG_INVALID", hosts, err)
		}
		if c != nil {
			_ = c.Close()
		}
	}
}

func TestFormat(t *testing.T) {
	s := etcdtest.Start(t, etcdembed.Config{})
	check := func(cluster string, create bool) error {
		t.Helper()
		c, err := Open(Config{Client: s.Client(), Cluster: cluster})
		if err != nil {
			t.Fatal(err)
		}
		value, err := c.CheckFormat(t.Context())
		if err == nil && value == nil && create {
			_, err = c.CreateFormat(t.Context(), false)
		}
		return err
	}
	write := func(cluster, value string) {
		t.Helper()
		if _, err := s.Client().Put(t.Context(), "/ruedo/"+cluster+"/meta/format", value); err != nil {
			t.Fatal(err)
		}
	}
	if err := check("a", false); err != nil {
		t.Errorf("an empty cluster: %v", err)
	}
	if got, err := s.Client().Get(t.Context(), "/ruedo/a/meta/format"); err != nil || got.Count != 0 {
		t.Errorf("a look wrote the format: %v, %v", got, err)
	}
	// Many at the same time, like cores that start together.
	errs := make(chan error)
	for range 8 {
		go func() { errs <- check("b", true) }()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got, err := s.Client().Get(t.Context(), "/ruedo/b/meta/format"); err != nil || len(got.Kvs) != 1 || got.Kvs[0].Version != 1 {
		t.Errorf("the format was not written exactly once: %v, %v", got, err)
	}
	newer, err := proto.Marshal(&storev1.Format{Number: 7})
	if err != nil {
		t.Fatal(err)
	}
	write("c", string(newer))
	err = check("c", true)
	if !errors.Is(err, fault.StoreFormat) || err.Error() != "store has format 7, this ruedo knows 2; use a newer ruedo" {
		t.Errorf("a newer format: %v", err)
	}
	for _, value := range []string{"", "1", "\xff\xff\xff"} {
		write("d", value)
		if err := check("d", true); !errors.Is(err, fault.StoreFormat) {
			t.Errorf("format %q: %v, want STORE_FORMAT", value, err)
		}
	}
}

func TestDialFailures(t *testing.T) {
	t.Parallel()
	closed := silent(t)
	for what, host := range map[string]string{"silent": silent(t), "refused": func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().String()
	}()} {
		began := time.Now()
		d, err := Dial(t.Context(), DirectoryConfig{Hosts: []string{host}, Cluster: "main"})
		if d != nil {
			_ = d.Close()
		}
		if !errors.Is(err, fault.StoreUnavailable) || !strings.Contains(err.Error(), host) {
			t.Errorf("%s: %v, want STORE_UNAVAILABLE with the host", what, err)
		}
		if took := time.Since(began); took > testkit.Patience/2 {
			t.Errorf("%s: took %v", what, took)
		}
	}
	if _, err := Dial(t.Context(), DirectoryConfig{Hosts: []string{closed}, Cluster: "../main"}); !errors.Is(err, fault.ConfigInvalid) {
		t.Errorf("hostile cluster id: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, DirectoryConfig{Hosts: []string{closed}, Cluster: "main"}); err != context.DeadlineExceeded {
		t.Errorf("the caller's deadline becomes %v", err)
	}
}

func TestFullStore(t *testing.T) {
	s := etcdtest.Start(t, etcdembed.Config{Dir: filepath.Join(t.TempDir(), "d"), QuotaBytes: 128 << 10, ListenClient: "127.0.0.1:0"})
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		_, err = s.Client().Put(t.Context(), fmt.Sprint("k", i), strings.Repeat("v", 4<<10))
	}
	if got := TranslateError(t.Context(), err, "write"); !errors.Is(got, fault.StoreFull) {
		t.Errorf("%v, want STORE_FULL", got)
	}
	// The entry appears as soon as there is room.
	cluster, err := Open(Config{Client: s.Client(), Cluster: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	m, err := cluster.RegisterRunner(t.Context(), &ruedov1.Runner{Id: "edge-1", Host: "h"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := stored(t, s.Client()); ok {
		t.Fatal("a full store took an entry")
	}
	room(t, s)
	testkit.Eventually(t, "the entry is there", func() bool {
		v, lease, ok := stored(t, s.Client())
		return ok && lease != 0 && strings.Contains(v, "h")
	})
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, _, ok := stored(t, s.Client()); ok {
		t.Error("the entry is there after Close")
	}
}

// room makes room in a full store, as its operator would.
func room(t *testing.T, s *etcdembed.Server) {
	t.Helper()
	c, err := connect([]string{s.Endpoint()}, nil, Login{}, DefaultOpTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	gone, err := c.Delete(t.Context(), "k", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compact(t.Context(), gone.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Defragment(t.Context(), s.Endpoint()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreInThisProcessSaysWhyItDoesNotAnswer(t *testing.T) {
	check := error(nil)
	c, err := Open(Config{Hosts: []string{silent(t)}, Cluster: "main", OpTimeout: 10 * time.Millisecond, Check: func() error { return check }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ask := func() error {
		return c.Do(t.Context(), "read", func(ctx context.Context) error { _, err := c.Get(ctx, "k"); return err })
	}
	if err := ask(); !errors.Is(err, fault.StoreUnavailable) {
		t.Errorf("%v, want STORE_UNAVAILABLE", err)
	}
	check = fault.New(fault.StoreFull, "its disk is full")
	if err := ask(); err != check {
		t.Errorf("%v, want %v", err, check)
	}
}
