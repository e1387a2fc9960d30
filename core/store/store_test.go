package store

import (
	"context"
	"errors"
	"iter"
	"net"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/storetest"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testStore is a store with direct access to its etcd.
type testStore struct {
	*Store
	client *clientv3.Client // nil unless it was given one
}

func open(t *testing.T, cfg Config) *testStore {
	t.Helper()
	if cfg.Cluster == "" {
		cfg.Cluster = "main"
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &testStore{s, cfg.Client}
}

// names makes errors suggest the names that are stored.
type names struct{ *testStore }

func (n names) Names(kind keys.Kind, _ int) iter.Seq[string] {
	return func(yield func(string) bool) {
		got, err := n.client.Get(context.Background(), n.space.Prefix(kind), clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			return
		}
		for _, kv := range got.Kvs {
			if k, ok := keys.Parse(string(kv.Key)); ok && !yield(k.Name) {
				return
			}
		}
	}
}

func (names) Service(string) *ruedov1.Service { return nil }

// fresh returns a store on an etcd of its own.
func fresh(t *testing.T) *testStore {
	t.Helper()
	return open(t, Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client()})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	e := etcdtest.Start(t, etcdembed.Config{})
	newer, err := proto.Marshal(&storev1.Format{Number: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Client().Put(t.Context(), "/ruedo/newer/meta/format", string(newer)); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	silent := ln.Addr().String()
	for what, c := range map[string]struct {
		cfg  Config
		want fault.Reason
		says string
	}{
		"a newer format":     {Config{Client: e.Client(), Cluster: "newer"}, fault.StoreFormat, "store has format 3, this ruedo knows 2; use a newer ruedo"},
		"hostile cluster id": {Config{Client: e.Client(), Cluster: "../main"}, fault.ConfigInvalid, `"../main"`},
		"no cluster id":      {Config{Client: e.Client()}, fault.ConfigInvalid, `""`},
		"no hosts":           {Config{Cluster: "main"}, fault.ConfigInvalid, "store.etcd_hosts"},
		"malformed host":     {Config{Cluster: "main", Hosts: []string{"http://x"}}, fault.ConfigInvalid, "host:port"},
		"a silent store":     {Config{Cluster: "main", Hosts: []string{silent}}, fault.StoreUnavailable, silent},
	} {
		began := time.Now()
		s, err := Open(t.Context(), c.cfg)
		if s != nil {
			t.Errorf("%s: opened", what)
			_ = s.Close()
		}
		testkit.WantReason(t, err, c.want, c.says)
		if took := time.Since(began); took > testkit.Patience/2 {
			t.Errorf("%s: took %v", what, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Config{Cluster: "main", Hosts: []string{silent}}); err != context.Canceled {
		t.Errorf("a caller's cancel becomes %v", err)
	}
}

func TestManyCoresOpenOneCluster(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := Open(t.Context(), Config{Client: e.Client(), Cluster: "main"})
			if err != nil {
				t.Error(err)
				return
			}
			_ = s.Close()
		})
	}
	wg.Wait()
}

func TestOperationsFailSoonWithoutAStore(t *testing.T) {
	t.Parallel()
	e := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	other := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	gone, lost := open(t, Config{Hosts: []string{other.Endpoint()}}), testkit.NewProxy(t, e.Endpoint())
	silent := open(t, Config{Hosts: []string{lost.Addr()}})
	for _, s := range []*testStore{gone, silent} {
		storetest.Put(t, s, storetest.Wasm("a"))
	}
	etcdtest.Stop(t, other)
	lost.Freeze()
	for how, s := range map[string]*testStore{"gone": gone, "silent": silent} {
		for what, op := range operations(s) {
			t.Run(how+"/"+what, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				testkit.WantReason(t, op(storetest.Context(t)), fault.StoreUnavailable, "check that etcd runs")
				if took := time.Since(began); took > testkit.Patience/2 {
					t.Errorf("took %v to fail", took)
				}
				ctx, cancel := context.WithTimeout(storetest.Context(t), 50*time.Millisecond)
				defer cancel()
				// A refused connection can be reported before the deadline.
				if err := op(ctx); err != context.DeadlineExceeded && (s == silent || !errors.Is(err, fault.StoreUnavailable)) {
					t.Errorf("the caller's deadline becomes %v", err)
				}
				ctx, cancel = context.WithCancel(storetest.Context(t))
				cancel()
				if err := op(ctx); err != context.Canceled {
					t.Errorf("a caller's cancel becomes %v", err)
				}
			})
		}
	}
}

// operations returns one operation of each kind.
func operations(s *testStore) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"publish": func(ctx context.Context) error {
			_, err := s.PublishService(ctx, storetest.Service("greet", 1, storetest.Wasm("a")), 0)
			return err
		},
		"delete service": func(ctx context.Context) error { _, err := s.DeleteService(ctx, "greet"); return err },
		"create decorator": func(ctx context.Context) error {
			_, err := s.CreateDecorator(ctx, decorator("small"))
			return err
		},
		"update decorator": func(ctx context.Context) error {
			_, err := s.UpdateDecorator(ctx, Change{Decorator: decorator("small")})
			return err
		},
		"delete decorator": func(ctx context.Context) error { _, err := s.DeleteDecorator(ctx, "small"); return err },
		"put module": func(ctx context.Context) error {
			return s.PutModule(ctx, storetest.Module(storetest.Wasm("b")), storetest.Wasm("b"))
		},
		"read module": func(ctx context.Context) error {
			_, err := s.ReadModule(ctx, storetest.Digest(storetest.Wasm("a")))
			return err
		},
		"read service":   func(ctx context.Context) error { _, err := s.Service(ctx, "greet"); return err },
		"read revisions": func(ctx context.Context) error { _, _, err := s.Revisions(ctx, "greet", all); return err },
	}
}
