package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// spread is a dispatcher with one runner for each set of labels, such as
// "zone=a rack=7".
func spread(t testing.TB, cfg dispatch.Config, sets ...string) (*dispatch.Dispatcher, []*member) {
	t.Helper()
	if cfg.StartWait == 0 {
		cfg.StartWait = -1
	}
	d := dispatch.New(cfg)
	t.Cleanup(d.Close)
	var ms []*member
	for i, set := range sets {
		ms = append(ms, labelled(t, fmt.Sprint("r", i), set))
		t.Cleanup(d.Add(ms[i]))
	}
	return d, ms
}

func labelled(t testing.TB, id, set string) *member {
	t.Helper()
	m := &member{id: id}
	var err error
	if m.labels, err = labels.Parse(strings.Fields(set)); err != nil {
		t.Fatal(err)
	}
	return m
}

// placed calls a plan with a placement.
func placed(t testing.TB, d *dispatch.Dispatcher, plan, placement string) error {
	t.Helper()
	selector, err := labels.ParseSelector(placement)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Plan(plan, selector).Execute(context.Background(), &runnerv1.ExecuteRequest{Plan: plan})
	return err
}

func calls(t testing.TB, n int, f func() error) {
	t.Helper()
	for range n {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
}

func wantCounts(t testing.TB, what string, ms []*member, want ...int64) {
	t.Helper()
	if got := counts(ms); !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestTheZoneOfTheCoreComesFirst(t *testing.T) {
	d, ms := spread(t, dispatch.Config{Zone: "a"}, "zone=a", "zone=b", "zone=a", "")
	call := func() error { _, err := call(d, "p"); return err }
	calls(t, 300, call)
	wantCounts(t, "strict rotation within the zone", ms, 150, 0, 150, 0)

	ms[0].away.Store(true)
	calls(t, 100, call)
	wantCounts(t, "one of the zone is away", ms, 0, 0, 100, 0)

	ms[2].away.Store(true)
	calls(t, 100, call)
	wantCounts(t, "all of the zone are away", ms, 0, 50, 0, 50)

	back := labelled(t, "r4", "zone=a")
	t.Cleanup(d.Add(back))
	ms = append(ms, back)
	calls(t, 100, call)
	wantCounts(t, "one of the zone is back", ms, 0, 0, 0, 0, 100)

	// A call that the zone refuses goes to another runner.
	back.fail = unstarted(fault.QueueFull)
	calls(t, 1, call)
	if n := ms[1].calls.Load() + ms[3].calls.Load(); n != 1 {
		t.Errorf("%d second attempts outside of the zone", n)
	}
}

func TestWhatIsPreparedCountsMoreThanWhatIsNear(t *testing.T) {
	d, ms := spread(t, dispatch.Config{Zone: "a"}, "zone=a", "zone=b")
	ms[0].prepare = func(context.Context, string) error { return fault.New(fault.Deadline, "busy") }
	if _, err := d.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: "p"}); err != nil {
		t.Fatal(err)
	}
	calls(t, 10, func() error { _, err := call(d, "p"); return err })
	wantCounts(t, "only the far one has prepared it", ms, 0, 10)

	ms[0].prepare = nil
	if _, err := d.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: "p"}); err != nil {
		t.Fatal(err)
	}
	calls(t, 10, func() error { _, err := call(d, "p"); return err })
	wantCounts(t, "the near one, too", ms, 10, 0)
}

func TestCallsGoOnlyWhereThePlacementAllows(t *testing.T) {
	d, ms := spread(t, dispatch.Config{Zone: "b"}, "zone=a rack=7", "zone=a rack=8 gpu=", "zone=b rack=7", "")
	for i, tt := range []struct {
		placement string
		want      []int64
	}{
		{"zone=a", []int64{30, 30, 0, 0}},
		{"zone=a,!gpu", []int64{60, 0, 0, 0}},
		{"rack in (7,8)", []int64{0, 0, 60, 0}}, // the zone of the core first
		{"!zone", []int64{0, 0, 0, 60}},
	} {
		calls(t, 60, func() error { return placed(t, d, fmt.Sprint("p", i), tt.placement) })
		wantCounts(t, tt.placement, ms, tt.want...)
	}
	// A second attempt stays within the placement.
	ms[0].fail = unstarted(fault.QueueFull)
	testkit.WantReason(t, placed(t, d, "p1", "zone=a,!gpu"), fault.QueueFull)
	calls(t, 10, func() error { return placed(t, d, "p0", "zone=a") })
	ms[0].fail = nil
	if got := counts(ms); got[2]+got[3] > 0 || got[1] != 10 {
		t.Errorf("second attempts: %v", got)
	}

	// Nobody meets it, or nobody any more.
	err := placed(t, d, "q", "zone=c")
	testkit.WantReason(t, err, fault.NoRunner, "no runner that meets the placement zone=c is attached and ready; 4 other runners do not meet it", "runner.labels")
	if e := fault.FromError(err); !e.NotStarted || e.Meta[fault.MetaPlacement] != "zone=c" {
		t.Errorf("%+v", e)
	}
	ms[3].away.Store(true)
	testkit.WantReason(t, placed(t, d, "p3", "!zone"), fault.NoRunner, "the placement !zone")

	// A runner that does not answer is asked if no other one meets the placement.
	ms[2].deaf.Store(true)
	for range 3 {
		unanswered(t, d, "p5", "zone=b")
	}
	unheard := ms[2].unheard.Load()
	unanswered(t, d, "p5", "zone=b")
	if got := ms[2].unheard.Load(); got <= unheard {
		t.Error("the only runner that meets the placement gets no more calls")
	}
	counts(ms)
	calls(t, 10, func() error { _, err := call(d, "any"); return err })
	wantCounts(t, "others go around it", ms, 5, 5, 0, 0)
}

// unanswered makes a call whose runner does not answer in time.
func unanswered(t *testing.T, d *dispatch.Dispatcher, plan, placement string) {
	t.Helper()
	selector, err := labels.ParseSelector(placement)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Millisecond, dispatch.ErrUnanswered)
	defer cancel()
	_, err = d.Plan(plan, selector).Execute(ctx, &runnerv1.ExecuteRequest{Plan: plan})
	testkit.WantReason(t, err, fault.Deadline)
}

func TestPlansGoOnlyWhereThePlacementAllows(t *testing.T) {
	d, ms := spread(t, dispatch.Config{}, "zone=a", "zone=b")
	hung := make(chan struct{})
	defer close(hung)
	ms[1].prepare = func(ctx context.Context, _ string) error { // it would hold the publish
		select {
		case <-hung:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	in := func(id, placement string) *runnerv1.PrepareRequest {
		return &runnerv1.PrepareRequest{Id: id, Plan: &runnerv1.Plan{Service: "s", Placement: placement}}
	}
	began := time.Now()
	ps, err := d.Prepare(t.Context(), in("p", "zone=a"))
	if err != nil || len(ps) != 1 || ps[0].GetRunner() != "r0" || ms[1].prepares.Load() != 0 {
		t.Errorf("%v, %v, %d elsewhere", ps, err, ms[1].prepares.Load())
	}
	if took := time.Since(began); took > dispatch.DefaultSettle/2 {
		t.Errorf("waited %s for a runner that does not matter", took)
	}
	_, err = d.Prepare(t.Context(), in("q", "zone=c"))
	testkit.WantReason(t, err, fault.NoRunner, "the placement zone=c")

	// In the background, too: of what is live, and of runners that come later.
	d.SetPlans([]*runnerv1.PrepareRequest{in("p", "zone=a"), in("c", "zone=c")})
	late := labelled(t, "r2", "zone=c")
	asked := make(chan string, 4)
	late.prepare = func(_ context.Context, id string) error { asked <- id; return nil }
	if n, why := d.Prepared("c"); n != 0 || why == nil || why.Reason != fault.NoRunner || why.Meta[fault.MetaPlacement] != "zone=c" {
		t.Errorf("before: %d, %v", n, why)
	}
	t.Cleanup(d.Add(late))
	testkit.Eventually(t, "prepared by the runner that meets the placement", func() bool {
		n, why := d.Prepared("c")
		return n == 1 && why == nil
	})
	if id := <-asked; id != "c" || len(asked) > 0 || ms[0].prepares.Load() != 1 || ms[1].prepares.Load() != 0 {
		t.Errorf("asked for %s and %d more; others %d and %d", id, len(asked), ms[0].prepares.Load(), ms[1].prepares.Load())
	}
	if n, _ := d.Prepared("p"); n != 1 {
		t.Errorf("p is prepared by %d runners", n)
	}
}

func TestAtTheStartCallsWaitForARunnerThatMeetsThePlacement(t *testing.T) {
	d, _ := spread(t, dispatch.Config{StartWait: time.Minute}, "zone=b")
	done := make(chan error, 1)
	go func() { done <- placed(t, d, "p", "zone=a") }()
	other := labelled(t, "r1", "zone=c")
	t.Cleanup(d.Add(other))
	select {
	case err := <-done:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	right := labelled(t, "r2", "zone=a")
	t.Cleanup(d.Add(right))
	if err := <-done; err != nil || right.calls.Load() != 1 || other.calls.Load() != 0 {
		t.Errorf("%v; %d and %d calls", err, right.calls.Load(), other.calls.Load())
	}
}

func TestAnyPlacement(t *testing.T) {
	d, ms := spread(t, dispatch.Config{AnyPlacement: true}, "", "zone=a")
	if ps, err := d.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: "p", Plan: &runnerv1.Plan{Placement: "gpu"}}); err != nil || len(ps) != 2 {
		t.Errorf("%v, %v", ps, err)
	}
	calls(t, 10, func() error { return placed(t, d, "p", "gpu") })
	wantCounts(t, "all of them", ms, 5, 5)
}
