package etcdembed

import (
	"strconv"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestTheQuotaIsWatched(t *testing.T) {
	s := start(t, Config{Dir: t.TempDir(), FullBytes: 10 << 20, QuotaBytes: 64 << 20})
	if err := s.Quota(); err != nil {
		t.Fatal(err)
	}
	seen := map[fault.Reason]bool{}
	for i := range 60 {
		put(t, s.Client(), "k"+strconv.Itoa(i%2), strings.Repeat("x", 512<<10))
		seen[fault.ReasonOf(s.Quota())] = true
		if seen[fault.StoreFull] {
			break
		}
	}
	testkit.Eventually(t, "the quota is used up", func() bool { return fault.ReasonOf(s.Quota()) == fault.StoreFull })
	testkit.WantReason(t, s.Quota(), fault.StoreFull, "its quota is 10 MiB", "compact the store")
	if err := s.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
	// Whoever is a member of the cluster can still say so.
	if _, err := s.Client().Grant(t.Context(), 5); err != nil {
		t.Errorf("no lease in a full store: %v", err)
	}
	now, err := s.Client().Get(t.Context(), "k0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Compact(t.Context(), now.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Defragment(t.Context(), "embedded"); err != nil {
		t.Fatal(err)
	}
	if err := s.Quota(); err != nil {
		t.Errorf("after compaction and defragmentation: %v", err)
	}
}
