package format_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/format"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// services is how many there are, more than two transactions hold.
const services = 230

// older returns a store of format 1 with services and a decorator.
func older(t *testing.T, n int) (*clientv3.Client, *store.Store) {
	t.Helper()
	etcd := etcdtest.Start(t, etcdembed.Config{}).Client()
	s, err := store.Open(t.Context(), store.Config{Client: etcd, Cluster: "main", Format: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.CreateDecorator(storetest.Context(t), &ruedov1.Decorator{Name: "small", Limits: &ruedov1.Limits{MemoryBytes: 1 << 20}}); err != nil {
		t.Fatal(err)
	}
	wasm := storetest.Wasm("x")
	storetest.Put(t, s, wasm)
	for i := range n {
		storetest.Publish(t, s, storetest.Service(fmt.Sprintf("s-%03d", i), 1, wasm, "small"), 0)
	}
	return etcd, s
}

// mark is a step that marks services; one that is converted twice has two marks.
func mark(path string, value []byte) ([]byte, error) {
	if !strings.HasPrefix(path, "services/") {
		return value, nil
	}
	var s ruedov1.Service
	if err := proto.Unmarshal(value, &s); err != nil {
		return nil, err
	}
	s.Description += "!"
	return proto.Marshal(&s)
}

// core is a process of the newer version.
type core struct {
	format.Config
	backups atomic.Int32
}

func newer(t *testing.T, etcd *clientv3.Client, id string, to uint32, steps format.Steps) *core {
	t.Helper()
	cluster, err := fleet.Open(fleet.Config{Client: etcd, Cluster: "main", Format: to})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	c := &core{}
	c.Config = format.Config{
		Cluster: cluster, Chain: chain.New(chain.Config{Cluster: cluster}), Steps: steps, Leader: &ruedov1.Leader{Core: id},
		Backup: func(context.Context) (string, error) { c.backups.Add(1); return id + ":/backup", nil },
	}
	return c
}

// migrated checks that every service has so many marks, and that the store has the
// format.
func migrated(t *testing.T, etcd *clientv3.Client, to uint32, marks string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Client: etcd, Cluster: "main", Format: to})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range services {
		got, err := s.Service(t.Context(), fmt.Sprintf("s-%03d", i))
		if err != nil || got.GetDescription() != marks {
			t.Errorf("service %d: %q, %v; want %q", i, got.GetDescription(), err, marks)
		}
	}
}

func TestAnOlderStoreIsMigratedOnce(t *testing.T) {
	etcd, _ := older(t, services)
	var all []*core
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b", "c"} {
		c := newer(t, etcd, id, 3, format.Steps{1: mark, 2: mark})
		all = append(all, c)
		wg.Go(func() {
			if err := format.Migrate(storetest.Context(t), c.Config); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	migrated(t, etcd, 3, "!!")
	backups := int32(0)
	for _, c := range all {
		backups += c.backups.Load()
	}
	if backups != 2 { // one for each step
		t.Errorf("%d backups", backups)
	}
}

// Wherever a migration is cut, the next one goes on, and converts nothing twice.
func TestAnInterruptedMigrationIsContinued(t *testing.T) {
	etcd, s := older(t, services)
	cut := errors.New("the plug was pulled")
	const before = services + 1 // decorator and revisions, which the step leaves as they are
	for _, after := range []int{before + 50, before + 150, 110} {
		c := newer(t, etcd, "a", 2, nil)
		n := 0
		c.Steps = format.Steps{1: func(path string, value []byte) ([]byte, error) {
			f, err := etcd.Get(t.Context(), c.Cluster.Space().Format())
			if err != nil || c.Cluster.ReadFormat(f.Kvs[0].Value) == nil {
				t.Errorf("%v, %v", f, err)
			}
			if errors.Is(c.Cluster.ReadFormat(f.Kvs[0].Value), fault.StoreMigrating) { // not only checked
				n++
			}
			if n > after {
				return nil, cut
			}
			return mark(path, value)
		}}
		if err := format.Migrate(storetest.Context(t), c.Config); !errors.Is(err, fault.Integrity) || !strings.Contains(err.Error(), cut.Error()) {
			t.Fatalf("after %d values: %v", after, err)
		}
		// The old version stops, and says why.
		if _, err := s.DeleteService(storetest.Context(t), "s-000"); !errors.Is(err, fault.StoreFormat) {
			t.Fatalf("an older core writes: %v", err)
		}
		// A newer one that does not migrate refuses to start.
		if _, err := store.Open(t.Context(), store.Config{Client: etcd, Cluster: "main", Format: 2}); !errors.Is(err, fault.StoreMigrating) || !strings.Contains(err.Error(), "a:/backup") {
			t.Fatalf("a newer store: %v", err)
		}
	}
	if err := format.Migrate(storetest.Context(t), newer(t, etcd, "b", 2, format.Steps{1: mark}).Config); err != nil {
		t.Fatal(err)
	}
	migrated(t, etcd, 2, "!")
}

func TestWhatCannotBeMigratedChangesNothing(t *testing.T) {
	etcd, s := older(t, 3)
	full := errors.New("no space left")
	for name, c := range map[string]struct {
		to    uint32
		steps format.Steps
		fails error // of the backup
		want  error
	}{
		"a value":     {2, format.Steps{1: func(string, []byte) ([]byte, error) { return nil, errors.New("what is that?") }}, nil, fault.Integrity},
		"no step":     {2, nil, nil, fault.StoreFormat},
		"no backup":   {2, format.Steps{1: mark}, full, full},
		"a step less": {3, format.Steps{1: mark}, nil, fault.StoreFormat},
	} {
		m := newer(t, etcd, "a", c.to, c.steps)
		if c.fails != nil {
			m.Backup = func(context.Context) (string, error) { return "", c.fails }
		}
		if err := format.Migrate(storetest.Context(t), m.Config); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.CreateDecorator(storetest.Context(t), &ruedov1.Decorator{Name: strings.ReplaceAll(name, " ", "-")}); err != nil {
			t.Errorf("%s: the older version can no longer write: %v", name, err)
		}
	}
}

func TestAStoreThatIsNotOlderIsLeftAlone(t *testing.T) {
	etcd, _ := older(t, 1)
	c := newer(t, etcd, "a", 1, nil)
	if err := format.Migrate(storetest.Context(t), c.Config); err != nil {
		t.Error(err)
	}
	if err := format.Migrate(storetest.Context(t), newer(t, etcd, "b", 2, format.Steps{1: mark}).Config); err != nil {
		t.Error(err)
	}
	// The older version leaves the store alone, and refuses it.
	if err := format.Migrate(storetest.Context(t), c.Config); err != nil {
		t.Error(err)
	}
	if _, err := store.Open(t.Context(), store.Config{Client: etcd, Cluster: "main", Format: 1}); !errors.Is(err, fault.StoreFormat) || !strings.Contains(err.Error(), "store has format 2, this ruedo knows 1") {
		t.Errorf("%v", err)
	}
	if c.backups.Load() != 0 {
		t.Error("a backup was made")
	}
}

// A leader of the older version is ordered to hand over, and migrates nothing.
func TestAnOlderLeaderHandsOver(t *testing.T) {
	etcd, s := older(t, services)
	held, err := s.Cluster().Campaign(t.Context(), &ruedov1.Leader{Core: "old"}, 0)
	if err != nil || held == nil {
		t.Fatal(held, err)
	}
	done := make(chan error, 1)
	c := newer(t, etcd, "new", 2, format.Steps{1: mark})
	go func() { done <- format.Migrate(storetest.Context(t), c.Config) }()
	testkit.Within(t, 10*time.Second, "the order to hand over", func() bool {
		got, err := etcd.Get(t.Context(), s.Cluster().Space().Handover())
		return err == nil && len(got.Kvs) > 0 && strings.Contains(string(got.Kvs[0].Value), "new")
	})
	if c.backups.Load() != 0 {
		t.Error("the migration has begun")
	}
	if err := held.Resign(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	migrated(t, etcd, 2, "!")
}
