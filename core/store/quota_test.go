package store

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/store/storetest"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestAStoreAtItsQuotaTakesDeletionsAndRunners(t *testing.T) {
	var quota atomic.Pointer[fault.Error]
	s := open(t, Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client(), Quota: func() error {
		if e := quota.Load(); e != nil {
			return e
		}
		return nil
	}})
	if _, err := s.CreateDecorator(storetest.Context(t), decorator("small")); err != nil {
		t.Fatal(err)
	}
	alarm := func() fault.Reason {
		s.Guard().CheckDisk()
		for _, e := range s.Guard().Alarms() {
			return e.Reason
		}
		return ""
	}

	quota.Store(fault.New(fault.StoreNearlyFull, "nearly").WithFix("compact"))
	if got := alarm(); got != fault.StoreNearlyFull {
		t.Errorf("alarm %q, want a warning", got)
	}
	if _, err := s.CreateDecorator(storetest.Context(t), decorator("fast")); err != nil {
		t.Errorf("a warning refuses a write: %v", err)
	}

	quota.Store(fault.New(fault.StoreFull, "full").WithFix("compact"))
	if got := alarm(); got != fault.StoreFull {
		t.Errorf("alarm %q, want STORE_FULL", got)
	}
	_, err := s.CreateDecorator(storetest.Context(t), decorator("more"))
	testkit.WantReason(t, err, fault.StoreFull, "full", "compact")
	if _, err := s.DeleteDecorator(storetest.Context(t), "fast"); err != nil {
		t.Errorf("a deletion is refused: %v", err)
	}
	m, err := s.Cluster().RegisterRunner(t.Context(), &ruedov1.Runner{Id: "r"}, time.Second)
	if err != nil {
		t.Fatalf("a runner cannot be registered: %v", err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}

	quota.Store(nil)
	if got := alarm(); got != "" {
		t.Errorf("alarm %q remains", got)
	}
	if _, err := s.CreateDecorator(storetest.Context(t), decorator("more")); err != nil {
		t.Error(err)
	}
}
