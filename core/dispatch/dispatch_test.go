package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// member answers with its own id, or fails as told.
type member struct {
	id       string
	away     atomic.Bool
	deaf     atomic.Bool // it answers no calls
	unheard  atomic.Int64
	calls    atomic.Int64
	prepares atomic.Int64
	fail     func() error
	seen     func(*runnerv1.ExecuteRequest)
	prepare  func(ctx context.Context, id string) error

	concurrency, queue uint32 // what it claims to accept; zero means no limit
	labels             map[string]string
	took               time.Duration
}

func (m *member) Execute(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	if m.deaf.Load() {
		m.unheard.Add(1)
		<-ctx.Done()
		return nil, fault.FromError(ctx.Err())
	}
	if req.CallId == "probe" {
		e := fault.New(fault.PlanNotFound, "no such plan")
		e.NotStarted = true
		return nil, e
	}
	m.calls.Add(1)
	if m.seen != nil {
		m.seen(req)
	}
	if m.fail != nil {
		if err := m.fail(); err != nil {
			return nil, err
		}
	}
	info := &ruedov1.CallInfo{Runner: m.id}
	if m.took > 0 {
		info.Duration = durationpb.New(m.took)
	}
	return &runnerv1.ExecuteResponse{Info: info}, nil
}

func (m *member) Prepare(ctx context.Context, req *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error) {
	m.prepares.Add(1)
	if m.prepare != nil {
		if err := m.prepare(ctx, req.Id); err != nil {
			return nil, err
		}
	}
	return &runnerv1.PrepareResponse{Preparation: &ruedov1.Preparation{CompileTime: durationpb.New(1e6), StartTime: durationpb.New(2e6), MemoryBytes: 64}}, nil
}

func (m *member) Info() *ruedov1.Runner {
	return &ruedov1.Runner{Id: m.id, Concurrency: m.concurrency, Queue: m.queue, Labels: m.labels}
}
func (m *member) Ready() bool                   { return !m.away.Load() }
func (m *member) Active() int                   { return 0 }
func (m *member) PlanUsage() *ruedov1.PlanUsage { return nil }
func (m *member) Total() uint64                 { return uint64(m.calls.Load()) }

func team(t testing.TB, n int) (*dispatch.Dispatcher, []*member, []func()) {
	d := dispatch.New(dispatch.Config{StartWait: -1})
	t.Cleanup(d.Close)
	ms, removes := make([]*member, n), make([]func(), n)
	for i := range n {
		ms[i] = &member{id: fmt.Sprint("r", i)}
		removes[i] = d.Add(ms[i])
		t.Cleanup(removes[i])
	}
	return d, ms, removes
}

func call(d *dispatch.Dispatcher, plan string) (string, error) {
	res, err := d.Execute(context.Background(), &runnerv1.ExecuteRequest{Plan: plan})
	return res.GetInfo().GetRunner(), err
}

func counts(ms []*member) []int64 {
	out := make([]int64, len(ms))
	for i, m := range ms {
		out[i] = m.calls.Swap(0)
	}
	return out
}

func unstarted(r fault.Reason) func() error {
	return func() error {
		e := fault.New(r, "refused")
		e.NotStarted = true
		return e
	}
}

// TestOnePlanLeavesRoomForOthers blocks calls of one plan until the plan has
// its share of what two runners accept.
func TestOnePlanLeavesRoomForOthers(t *testing.T) {
	d := dispatch.New(dispatch.Config{})
	t.Cleanup(d.Close)
	entered, release := make(chan struct{}), make(chan struct{})
	stand := true
	for i := range 2 {
		m := &member{id: fmt.Sprint("r", i), concurrency: 4, queue: 16}
		m.fail = func() error {
			if stand {
				entered <- struct{}{}
				<-release
			}
			return nil
		}
		t.Cleanup(d.Add(m))
	}
	const limit = 2 * (4 + 16) * 3 / 4
	var wg sync.WaitGroup
	for range limit {
		wg.Go(func() {
			if _, err := call(d, "flood"); err != nil {
				t.Error(err)
			}
		})
		<-entered
	}
	stand = false
	_, err := call(d, "flood")
	if e := fault.FromError(err); e.Reason != fault.QueueFull || !e.NotStarted || e.Meta["limit"] != fmt.Sprint(limit) {
		t.Errorf("call %d: %v", limit+1, err)
	}
	if _, err := call(d, "other"); err != nil {
		t.Errorf("a call of another plan: %v", err)
	}
	close(release)
	wg.Wait()
	if _, err := call(d, "flood"); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

func TestRotationIsStrict(t *testing.T) {
	d, ms, removes := team(t, 3)
	run := func(n int) {
		t.Helper()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				for range n / 10 {
					if _, err := call(d, "p"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	run(300)
	if got := counts(ms); !slices.Equal(got, []int64{100, 100, 100}) {
		t.Errorf("300 calls over three: %v", got)
	}
	removes[1]()
	run(300)
	if got := counts(ms); !slices.Equal(got, []int64{150, 0, 150}) {
		t.Errorf("one removed: %v", got)
	}
	remove := d.Add(ms[1])
	run(300)
	if got := counts(ms); !slices.Equal(got, []int64{100, 100, 100}) {
		t.Errorf("one added: %v", got)
	}
	// A runner that drains without being removed leaves its turns to all
	// others.
	more := &member{id: "r3"}
	defer d.Add(more)()
	defer remove()
	more.away.Store(true)
	run(300)
	got := counts(append(ms, more)) // the turn at which that was noticed can shift one call
	if slices.Min(got[:3]) < 99 || slices.Max(got[:3]) > 101 || got[3] != 0 {
		t.Errorf("one drains: %v", got)
	}
}

func TestMembershipChangesUnderLoad(t *testing.T) {
	d, ms, _ := team(t, 2)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := call(d, "p"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 200 {
		m := &member{id: fmt.Sprint("x", i)}
		remove := d.Add(m)
		d.SetPlans([]*runnerv1.PrepareRequest{{Id: "p"}})
		if i%2 == 0 {
			m.away.Store(true)
		}
		remove()
		remove()
	}
	close(stop)
	wg.Wait()
	if len(d.Members()) != 2 || d.Members()[0].Info().Id != ms[0].id {
		t.Errorf("members %v", d.Members())
	}
}

func TestNobodyIsThere(t *testing.T) {
	d, ms, _ := team(t, 1)
	ms[0].away.Store(true)
	for name, err := range map[string]error{
		"execute": func() error { _, err := call(d, "p"); return err }(),
		"prepare": func() error {
			_, err := d.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: "p"})
			return err
		}(),
	} {
		if e := fault.FromError(err); e.Reason != fault.NoRunner || !e.NotStarted || e.Fix == "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestSecondAttempt(t *testing.T) {
	lost := func() error { return fault.New(fault.RunnerLost, "lost").With("started", "unknown") }
	idempotent := dispatch.WithIdempotent(t.Context())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx   context.Context
		n     int // runners; if there are two, the second one works
		fail  func() error
		want  fault.Reason // "" is success
		calls int64
	}{
		"draining":              {t.Context(), 2, unstarted(fault.RunnerDraining), "", 2},
		"queue full":            {t.Context(), 2, unstarted(fault.QueueFull), "", 2},
		"lost before":           {t.Context(), 2, unstarted(fault.RunnerLost), "", 2},
		"queue timeout":         {t.Context(), 2, unstarted(fault.QueueTimeout), fault.QueueTimeout, 1},
		"too long a line":       {t.Context(), 2, func() error { return executor.TooLate("s", "a slot", 2, 1) }, "", 2},
		"waited in vain":        {t.Context(), 2, func() error { return executor.TurnTooLate("s", "a slot", 1) }, fault.QueueTimeout, 1},
		"cannot load":           {t.Context(), 2, unstarted(fault.Integrity), "", 2},
		"lost meanwhile":        {t.Context(), 2, lost, fault.RunnerLost, 1},
		"idempotent":            {idempotent, 2, lost, "", 2},
		"guest error":           {idempotent, 2, func() error { return fault.New(fault.GuestError, "no") }, fault.GuestError, 1},
		"no fault":              {t.Context(), 2, func() error { return errors.New("odd") }, fault.Internal, 1},
		"input too large":       {t.Context(), 2, unstarted(fault.InputTooLarge), fault.InputTooLarge, 1},
		"bad module":            {t.Context(), 2, unstarted(fault.CompileFailed), fault.CompileFailed, 1},
		"caller gone":           {gone, 2, unstarted(fault.RunnerDraining), fault.RunnerDraining, 1},
		"alone and draining":    {t.Context(), 1, unstarted(fault.RunnerDraining), fault.NoRunner, 1},
		"alone and lost before": {t.Context(), 1, unstarted(fault.RunnerLost), fault.NoRunner, 1},
		"alone and full":        {t.Context(), 1, unstarted(fault.QueueFull), fault.QueueFull, 1},
		"alone and lost":        {idempotent, 1, lost, fault.RunnerLost, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d, ms, _ := team(t, test.n)
			var calls atomic.Int64
			for _, m := range ms {
				m.fail = func() error {
					if calls.Add(1) == 1 {
						return test.fail()
					}
					return nil
				}
			}
			_, err := d.Execute(test.ctx, &runnerv1.ExecuteRequest{Plan: "p"})
			if test.want == "" && err != nil || test.want != "" && fault.ReasonOf(err) != test.want {
				t.Errorf("got %v", err)
			}
			if calls.Load() != test.calls {
				t.Errorf("%d attempts", calls.Load())
			}
			if test.calls == 2 && (ms[0].calls.Load() != 1 || ms[1].calls.Load() != 1) {
				t.Error("the second attempt went to the same runner")
			}
		})
	}
}

func TestNoThirdAttempt(t *testing.T) {
	d, ms, _ := team(t, 5)
	for _, m := range ms {
		m.fail = unstarted(fault.QueueFull)
	}
	if _, err := call(d, "p"); !errors.Is(err, fault.QueueFull) {
		t.Errorf("got %v", err)
	}
	var sum int64
	for _, n := range counts(ms) {
		sum += n
	}
	if sum != 2 {
		t.Errorf("%d attempts", sum)
	}
}

func TestPrepareDecidesWhoIsAsked(t *testing.T) {
	d, ms, _ := team(t, 3)
	ms[1].prepare = func(context.Context, string) error { return fault.New(fault.Integrity, "disk") }
	got, err := d.Prepare(t.Context(), &runnerv1.PrepareRequest{Id: "p", Plan: &runnerv1.Plan{Service: "greet"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range got {
		if p.Runner != ms[i].id || (p.Error != "") != (i == 1) || i != 1 && p.CompileTime.AsDuration() != time.Millisecond {
			t.Errorf("preparation %d: %v", i, p)
		}
	}
	for range 30 {
		if _, err := call(d, "p"); err != nil {
			t.Fatal(err)
		}
	}
	if got := counts(ms); !slices.Equal(got, []int64{15, 0, 15}) {
		t.Errorf("prepared on two of three: %v", got)
	}
	for range 30 {
		if _, err := call(d, "unknown"); err != nil {
			t.Fatal(err)
		}
	}
	if got := counts(ms); !slices.Equal(got, []int64{10, 10, 10}) {
		t.Errorf("prepared nowhere: %v", got)
	}
	// The prepared runners are full, so the remaining one prepares on demand.
	ms[0].fail = unstarted(fault.QueueFull)
	ms[2].away.Store(true)
	if who, err := call(d, "p"); err != nil || who != "r1" {
		t.Errorf("%s, %v", who, err)
	}
}

func TestPrepareFails(t *testing.T) {
	d, ms, _ := team(t, 2)
	req := &runnerv1.PrepareRequest{Id: "p", Plan: &runnerv1.Plan{Service: "greet"}}
	ms[0].prepare = func(context.Context, string) error { return fault.New(fault.RunnerLost, "lost") }
	ms[1].prepare = func(context.Context, string) error {
		return fault.New(fault.ImportNotAllowed, "imports env.open").WithFix("remove it")
	}
	got, err := d.Prepare(t.Context(), req)
	if e := fault.FromError(err); e.Reason != fault.ImportNotAllowed || e.Fix != "remove it" || len(got) != 2 {
		t.Errorf("the plan's own fault: %+v", e)
	}
	ms[1].prepare = func(context.Context, string) error { return fault.New(fault.Integrity, "disk") }
	if _, err := d.Prepare(t.Context(), req); !errors.Is(err, fault.PrepareFailed) || fault.FromError(err).ConnectCode() != fault.CodeFailedPrecondition {
		t.Errorf("a runner's fault: %v", err)
	}
	ms[1].prepare = func(context.Context, string) error { return fault.New(fault.RunnerDraining, "draining") }
	if _, err := d.Prepare(t.Context(), req); !errors.Is(err, fault.PrepareUnavailable) || fault.FromError(err).ConnectCode() != fault.CodeUnavailable {
		t.Errorf("nobody's fault: %v", err)
	}
	ms[1].prepare = func(context.Context, string) error {
		return fault.New(fault.CompileTimeout, "takes longer").WithFix("raise it")
	}
	if _, err := d.Prepare(t.Context(), req); !errors.Is(err, fault.CompileTimeout) || fault.FromError(err).ConnectCode() != fault.CodeUnavailable || fault.FromError(err).Fix != "raise it" {
		t.Errorf("a machine's fault: %v", err)
	}
	ms[0].prepare = func(ctx context.Context, _ string) error { <-ctx.Done(); return fault.FromError(ctx.Err()) }
	ms[1].prepare = ms[0].prepare
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := d.Prepare(ctx, req); !errors.Is(err, fault.PrepareUnavailable) || fault.FromError(err).Fix == "" {
		t.Errorf("nobody answers: %v", err)
	}
}

func TestLatecomerPreparesFirst(t *testing.T) {
	d, ms, _ := team(t, 1)
	req := &runnerv1.PrepareRequest{Id: "p", Plan: &runnerv1.Plan{}}
	if _, err := d.Prepare(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	d.SetPlans([]*runnerv1.PrepareRequest{req, {Id: "q", Plan: &runnerv1.Plan{}}})
	testkit.Eventually(t, "q is prepared", func() bool { return ms[0].prepares.Load() == 2 })
	release := make(chan struct{})
	late := &member{id: "late", prepare: func(ctx context.Context, _ string) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	defer d.Add(late)()
	testkit.Eventually(t, "the latecomer is asked", func() bool { return late.prepares.Load() == 1 })
	for range 10 {
		if who, err := call(d, "p"); err != nil || who != "r0" {
			t.Fatalf("%s, %v", who, err)
		}
	}
	close(release)
	testkit.Eventually(t, "it has a turn", func() bool { who, _ := call(d, "p"); return who == "late" })
	testkit.Eventually(t, "for q too", func() bool { who, _ := call(d, "q"); return who == "late" })
	if late.prepares.Load() != 2 {
		t.Errorf("prepared %d times", late.prepares.Load())
	}
	d.SetPlans([]*runnerv1.PrepareRequest{req}) // nothing has changed
	if n := ms[0].prepares.Load(); n != 2 {
		t.Errorf("prepared %d times", n)
	}
}

func TestBackgroundGivesUpOnABadPlan(t *testing.T) {
	d, ms, _ := team(t, 1)
	ms[0].prepare = func(_ context.Context, id string) error {
		if id == "bad" {
			return fault.New(fault.CompileFailed, "no")
		}
		return nil
	}
	d.SetPlans([]*runnerv1.PrepareRequest{{Id: "bad"}, {Id: "good"}})
	testkit.Eventually(t, "both are tried", func() bool { return ms[0].prepares.Load() == 2 })
	d.SetPlans([]*runnerv1.PrepareRequest{{Id: "bad"}, {Id: "good"}, {Id: "new"}})
	testkit.Eventually(t, "the new one is tried", func() bool { return ms[0].prepares.Load() == 3 })
}

func TestRemoveStopsPreparing(t *testing.T) {
	d, ms, removes := team(t, 1)
	ms[0].prepare = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
	d.SetPlans([]*runnerv1.PrepareRequest{{Id: "p"}})
	testkit.Eventually(t, "it prepares", func() bool { return ms[0].prepares.Load() == 1 })
	removes[0]() // returns, and leaves no goroutine behind
}

func BenchmarkExecute(b *testing.B) {
	d, _, _ := team(b, 3)
	req := &runnerv1.ExecuteRequest{Plan: "p"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Execute(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}

// A call of kind http counts as an open stream while it is in flight; a function
// never does.
func TestStreamsAreCounted(t *testing.T) {
	d, ms, _ := team(t, 1)
	seen := -1
	ms[0].seen = func(*runnerv1.ExecuteRequest) { seen = d.Streams() }
	for want, head := range [][]byte{nil, []byte("head")} {
		if _, err := d.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: "p", Head: head}); err != nil || seen != want || d.Streams() != 0 {
			t.Errorf("head %q: %d are open, then %d; %v", head, seen, d.Streams(), err)
		}
	}
}
