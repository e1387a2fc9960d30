package dispatch_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func plans(n int) []*runnerv1.PrepareRequest {
	reqs := make([]*runnerv1.PrepareRequest, n)
	for i := range reqs {
		reqs[i] = &runnerv1.PrepareRequest{Id: fmt.Sprintf("p-%05d", i)}
	}
	return reqs
}

// A runner that attaches to a core with many services prepares all their plans.
// What the core does for one of them does not depend on their number: looking
// through all plans for each would allocate 16 MB here, and a hundred times that
// with ten times the plans.
func TestPreparingManyPlans(t *testing.T) {
	const many = 2000
	d, _, _ := team(t, 0)
	d.SetPlans(plans(many))
	m := &member{id: "r"}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	t.Cleanup(d.Add(m))
	testkit.Eventually(t, "all are prepared", func() bool { return m.prepares.Load() == many })
	runtime.ReadMemStats(&after)
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 8<<20 {
		t.Errorf("%d bytes were allocated", bytes)
	}
	if n, err := d.Prepared("p-00000"); n != 1 || err != nil {
		t.Errorf("prepared on %d runners, %v", n, err)
	}
}

// What is published while a runner prepares others does not wait for all of them,
// and what is gone is not prepared any more.
func TestPlansThatChangeWhileARunnerPrepares(t *testing.T) {
	d, _, _ := team(t, 0)
	all := plans(4)
	d.SetPlans(all[1:])
	var mu sync.Mutex
	var asked []string
	entered, release := make(chan struct{}), make(chan struct{})
	m := &member{id: "r"}
	m.prepare = func(_ context.Context, id string) error {
		mu.Lock()
		asked = append(asked, id)
		mu.Unlock()
		if id == all[1].Id {
			close(entered)
			<-release
		}
		return nil
	}
	t.Cleanup(d.Add(m))
	<-entered
	d.SetPlans(slices.Concat(all[:2], all[3:]))
	close(release)
	testkit.Eventually(t, "all are prepared", func() bool { return m.prepares.Load() == 3 })
	mu.Lock()
	defer mu.Unlock()
	if want := []string{all[1].Id, all[0].Id, all[3].Id}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}
