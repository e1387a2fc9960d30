package mirror

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for a condition.
const patience = 20 * time.Second

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func embedded(t *testing.T, cfg etcdembed.Config) *etcdembed.Server {
	t.Helper()
	cfg.UnsafeNoFsync = true
	e, err := etcdembed.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, e) })
	return e
}

func stop(t *testing.T, e *etcdembed.Server) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

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
	return open(t, store.Config{Client: embedded(t, etcdembed.Config{}).Client()})
}

// is checks an error's reason, and that the error says what to do.
func is(t *testing.T, err error, want fault.Reason, says ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %s", err, want)
	}
	e, _ := errors.AsType[*fault.Error](err)
	for _, s := range says {
		if !strings.Contains(e.Message+" | "+e.Fix, s) {
			t.Errorf("%q | %q does not say %q", e.Message, e.Fix, s)
		}
	}
}

// buffer is a log that a test can read while it is being written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func wasm(s string) []byte { return []byte("\x00asm" + s) }

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func module(b []byte) *ruedov1.Module {
	return &ruedov1.Module{Digest: digest(b), SizeBytes: uint64(len(b)), Kind: ruedov1.Kind_KIND_FUNCTION}
}

func put(t *testing.T, s *testStore, b []byte) {
	t.Helper()
	if err := s.PutModule(t.Context(), module(b), b); err != nil {
		t.Fatal(err)
	}
}

// service returns revision n of a service, with these decorators.
func service(name string, n uint64, wasm []byte, decorators ...string) *ruedov1.Service {
	return &ruedov1.Service{
		Name:   name,
		Latest: n,
		Revision: &ruedov1.Revision{
			Service:    name,
			Number:     n,
			Module:     digest(wasm),
			Decorators: decorators,
			Env:        map[string]string{"N": fmt.Sprint(n)},
		},
	}
}

func publish(t *testing.T, s *testStore, svc *ruedov1.Service, seen int64) *ruedov1.Service {
	t.Helper()
	got, err := s.PublishService(t.Context(), svc, seen)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func same(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func decorator(name string) *ruedov1.Decorator {
	return &ruedov1.Decorator{Name: name, Limits: &ruedov1.Limits{MemoryBytes: 1 << 20}}
}
