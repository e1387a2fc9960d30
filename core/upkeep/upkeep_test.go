package upkeep_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/upkeep"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// members are those of a store that is as large as a test wants.
type members struct {
	list      []*ruedov1.Member
	done      []*ruedov1.CompactedMember
	err       error
	compacted int
}

func (m *members) List(context.Context) ([]*ruedov1.Member, string, error) {
	return m.list, "store", m.err
}

func (m *members) Compact(context.Context) (int64, []*ruedov1.CompactedMember, error) {
	m.compacted++
	return 7, m.done, nil
}

func member(name string, size, used uint64) *ruedov1.Member {
	return &ruedov1.Member{Name: name, Status: &ruedov1.MemberStatus{SizeBytes: size << 20, UsedBytes: used << 20}}
}

func TestMembersAreDefragmentedWhenItIsWorthIt(t *testing.T) {
	for _, tt := range []struct {
		what   string
		list   []*ruedov1.Member
		dry    bool
		result string
		runs   int
	}{
		{"small", []*ruedov1.Member{member("a", 63, 1)}, false, "nothing to do for 1 member: 1 MiB of 63 MiB are in use", 0},
		{"mostly in use", []*ruedov1.Member{member("a", 100, 80), member("b", 100, 76)}, false, "nothing to do for 2 members: 80 MiB of 100 MiB are in use", 0},
		{"one is worth it", []*ruedov1.Member{member("a", 100, 80), member("b", 100, 75)}, false, "defragmented 1 member, 60 MiB became free; member b failed: it does not answer", 1},
		{"dry", []*ruedov1.Member{member("a", 100, 40)}, true, "would compact the store and defragment 1 member: 40 MiB of 100 MiB are in use", 0},
		{"one does not answer", []*ruedov1.Member{member("a", 100, 10), {Name: "b"}}, false, "nothing now: member b does not answer", 0},
	} {
		m := &members{list: tt.list, done: []*ruedov1.CompactedMember{{Name: "a", BeforeBytes: 100 << 20, AfterBytes: 40 << 20}, {Name: "b", Error: "it does not answer"}}}
		result, err := upkeep.Job(m, time.Hour).Run(t.Context(), &jobs.Turn{DryRun: tt.dry})
		if err != nil || result != tt.result || m.compacted != tt.runs {
			t.Errorf("%s: %q, %v, compacted %d times; want %q, %d times", tt.what, result, err, m.compacted, tt.result, tt.runs)
		}
	}
	m := &members{err: errors.New("no quorum")}
	if _, err := upkeep.Job(m, time.Hour).Run(t.Context(), &jobs.Turn{}); err == nil || m.compacted != 0 {
		t.Errorf("%v, compacted %d times", err, m.compacted)
	}
}
