package publish_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corecatalog "github.com/ruedo-dev/ruedo/core/catalog"
	coremirror "github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/publish"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/storetest"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// bench is a publisher on a real store, whose runners do what a test says.
type bench struct {
	*publish.Publisher
	store   *store.Store
	catalog *corecatalog.Catalog
	prepare func(ctx context.Context, plan *runnerv1.Plan) error
}

func (b *bench) Prepare(ctx context.Context, req *runnerv1.PrepareRequest) ([]*ruedov1.Preparation, error) {
	return nil, b.prepare(ctx, req.GetPlan())
}

func (b *bench) Prepared(string) (int, *fault.Error) { return 1, nil }

// newBench has a decorator d that n services carry.
func newBench(t *testing.T, n int, cfg publish.Config) *bench {
	t.Helper()
	etcd := etcdtest.Start(t, etcdembed.Config{})
	b := &bench{prepare: func(context.Context, *runnerv1.Plan) error { return nil }}
	var err error
	if b.store, err = store.Open(t.Context(), store.Config{Client: etcd.Client(), Cluster: "main"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.store.Close() })
	m, err := coremirror.Open(t.Context(), coremirror.Config{Store: b.store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	b.catalog = corecatalog.New(corecatalog.Config{Mirror: m})
	t.Cleanup(b.catalog.Close)
	cfg.Store, cfg.Mirror, cfg.Catalog, cfg.Dispatcher = b.store, m, b.catalog, b
	b.Publisher = publish.New(cfg)

	module := &ruedov1.Module{Digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", SizeBytes: 4, Kind: ruedov1.Kind_KIND_FUNCTION}
	if err := b.store.PutModule(storetest.Context(t), module, []byte("test")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CreateDecorator(storetest.Context(t), memOf(64)); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b.publish(t, fmt.Sprint("s", i))
	}
	return b
}

func (b *bench) publish(t *testing.T, name string) {
	t.Helper()
	_, err := b.Publish(storetest.Context(t), &ruedov1.PublishServiceRequest{
		Name: name, Module: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Decorators: []string{"d"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) update(t *testing.T, mib uint64, force bool) (*ruedov1.UpdateDecoratorResponse, error) {
	t.Helper()
	return b.UpdateDecorator(storetest.Context(t), &ruedov1.UpdateDecoratorRequest{Decorator: memOf(mib), Force: force})
}

func memOf(mib uint64) *ruedov1.Decorator {
	return &ruedov1.Decorator{Name: "d", Limits: &ruedov1.Limits{MemoryBytes: mib << 20}}
}

func want(t *testing.T, err error, reason fault.Reason, message string) *fault.Error {
	t.Helper()
	e := fault.FromError(err)
	if err == nil || e.Reason != reason || message != "" && e.Message != message {
		t.Fatalf("%v (%s), want %s: %s", err, fault.ReasonOf(err), reason, message)
	}
	return e
}

func TestTooManyCarriersAreNotChecked(t *testing.T) {
	b := newBench(t, 3, publish.Config{MaxCarriers: 2})
	_, err := b.update(t, 32, false)
	e := want(t, err, fault.DecoratorUnchecked, "decorator d was not changed: 3 services carry it, and at most 2 can be checked before a change")
	if e.Meta["limit"] != "2" || e.Meta["actual"] != "3" || e.Fix == "" {
		t.Errorf("meta %v, fix %q", e.Meta, e.Fix)
	}
	if res, err := b.update(t, 32, true); err != nil || res.GetChecked() != 0 {
		t.Errorf("forced: %v, %v", res, err)
	}
}

func TestCheckingCarriersEndsInTime(t *testing.T) {
	b := newBench(t, 6, publish.Config{PrepareTimeout: 300 * time.Millisecond})
	var now, most atomic.Int64
	b.prepare = func(ctx context.Context, _ *runnerv1.Plan) error {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			seen := most.Load()
			if n <= seen || most.CompareAndSwap(seen, n) {
				break
			}
		}
		<-ctx.Done()
		return fault.New(fault.PrepareUnavailable, "no runner answered")
	}
	begin := time.Now()
	_, err := b.update(t, 32, false)
	e := want(t, err, fault.DecoratorUnchecked, "decorator d was not changed: 6 of the 6 services that carry it could not be checked within 300ms")
	if took := time.Since(begin); took > 5*time.Second || e.Meta["actual"] != "6" {
		t.Errorf("after %s, meta %v", took, e.Meta)
	}
	if n := most.Load(); n != 4 {
		t.Errorf("%d services were prepared at the same time, want 4", n)
	}
	if d, err := b.store.Decorator(storetest.Context(t), "d"); err != nil || d.GetRevision() != 1 {
		t.Errorf("after the refusal: %v, %v", d, err)
	}
}

func TestACarrierThatIsPublishedMeanwhileIsChecked(t *testing.T) {
	b := newBench(t, 1, publish.Config{})
	var once sync.Once
	var asked sync.Map
	b.prepare = func(_ context.Context, plan *runnerv1.Plan) error {
		asked.Store(fmt.Sprint(plan.GetService(), " ", plan.GetLimits().GetMemoryBytes()>>20), true)
		if plan.GetLimits().GetMemoryBytes() == 32<<20 {
			once.Do(func() { b.publish(t, "late") })
		}
		return nil
	}
	res, err := b.update(t, 32, false)
	if err != nil || res.GetChecked() != 2 {
		t.Fatalf("%v, %v: want both services checked", res, err)
	}
	if _, ok := asked.Load("late 32"); !ok {
		t.Error("the service that was published meanwhile was not prepared with the change")
	}

	// The other way round: a decorator that changes while a service is prepared.
	once = sync.Once{}
	b.prepare = func(_ context.Context, plan *runnerv1.Plan) error {
		if plan.GetService() == "later" {
			once.Do(func() {
				if _, err := b.update(t, 16, true); err != nil {
					t.Error(err)
				}
			})
		}
		return nil
	}
	_, err = b.Publish(storetest.Context(t), &ruedov1.PublishServiceRequest{
		Name: "later", Module: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Decorators: []string{"d"},
	})
	want(t, err, fault.Conflict, "decorator d has changed meanwhile")
}

func TestEachBrokenServiceHasItsReason(t *testing.T) {
	b := newBench(t, 30, publish.Config{})
	b.prepare = func(_ context.Context, plan *runnerv1.Plan) error {
		switch {
		case plan.GetLimits().GetMemoryBytes() == 64<<20 && plan.GetService() != "s1":
			return nil
		case plan.GetService() == "s0":
			return nil
		}
		return fault.New(fault.GuestMemory, "no runner can prepare service %s: it needs more memory", plan.GetService())
	}
	_, err := b.update(t, 1, false)
	e := want(t, err, fault.DecoratorBreaksServices,
		"decorator d was not changed: 28 services could not run with the change: s10, s11, s12, s13, s14 and 23 others")
	if len(e.Fields) != 20 || e.Fields[0] != (fault.Field{Path: "s10", Description: "it needs more memory (GUEST_MEMORY)"}) {
		t.Errorf("fields %v", e.Fields)
	}
	if _, err := b.update(t, 2, true); err != nil {
		t.Error(err)
	}
}
