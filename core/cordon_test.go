package core_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sdk/client"
	"github.com/ruedo-dev/ruedo/sdk/client/drain"
)

// attach attaches a runner to several cores, and waits until all of them see it.
func attach(t *testing.T, id string, cores ...*ruedotest.Cluster) {
	t.Helper()
	cfg := runner.Config{ID: id, Name: "edge", Cluster: "test", CacheDir: t.TempDir()}
	for _, c := range cores {
		cfg.Cores = append(cfg.Cores, c.URL)
	}
	r, err := runner.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, r.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	for _, c := range cores {
		testkit.Eventually(t, id+" is attached", func() bool { return runnerAt(t, c, id).GetState() == ruedov1.RunnerState_RUNNER_STATE_READY })
	}
}

// runnerAt returns a runner as a core sees it, nil if the core does not list it.
func runnerAt(t *testing.T, c *ruedotest.Cluster, id string) *ruedov1.Runner {
	t.Helper()
	list, err := client.All(c.Client.ListRunners(t.Context(), &ruedov1.ListRunnersRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.GetId() == id {
			return r
		}
	}
	return nil
}

func mustCordon(t *testing.T, c *ruedotest.Cluster, req *ruedov1.CordonRunnerRequest) *ruedov1.CordonRunnerResponse {
	t.Helper()
	res, err := c.Client.Cordons.CordonRunner(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Two cores and two runners that both are attached to: what one core is told, the
// other heeds.
func TestACordonHoldsAtAllCores(t *testing.T) {
	one := ruedotest.New(t, ruedotest.Options{Runners: -1})
	two := ruedotest.New(t, ruedotest.Options{Runners: -1, Etcd: one.Etcd})
	attach(t, "edge-1", one, two)
	attach(t, "edge-2", one, two)
	publishEcho(t, one, &ruedov1.PublishServiceRequest{})

	res := mustCordon(t, one, &ruedov1.CordonRunnerRequest{Runner: "edge-1", From: "ada@laptop", Reason: "new disk", Duration: durationpb.New(time.Hour)})
	if c := res.GetCordon(); res.GetUnchanged() || c.GetRunner() != "edge-1" || c.GetName() != "edge" || c.GetHost() == "" || c.GetVersion() == 0 ||
		time.Until(c.GetEndTime().AsTime()) > time.Hour || time.Until(c.GetEndTime().AsTime()) < 50*time.Minute {
		t.Errorf("%v", res)
	}
	// Where it was told, no later call goes to it. Elsewhere it is so soon.
	for range 10 {
		if got := answers(t, one); got != "edge-2" {
			t.Fatalf("the call went to %s", got)
		}
	}
	if _, err := drain.Wait(t.Context(), two.Client, "edge-1", res.GetCordon().GetVersion(), nil); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if got := answers(t, two); got != "edge-2" {
			t.Fatalf("the call went to %s", got)
		}
	}
	happened(t, one, ruedov1.EventKind_EVENT_KIND_RUNNER_CORDONED, "edge-1", "it gets no new calls: cordoned by ada@laptop until ")
	happened(t, two, ruedov1.EventKind_EVENT_KIND_RUNNER_DRAINED, "edge-1", "it has no call in flight on any core: cordoned by ada@laptop")
	for _, c := range []*ruedotest.Cluster{one, two} {
		if got := runnerAt(t, c, "edge-1"); got.GetState() != ruedov1.RunnerState_RUNNER_STATE_READY || got.GetCordon().GetFrom() != "ada@laptop" || got.GetCordon().GetReason() != "new disk" {
			t.Errorf("%v", got)
		}
		if got := runnerAt(t, c, "edge-2"); got.GetCordon() != nil {
			t.Errorf("%v", got)
		}
	}
	published := two.Publish(t, &ruedov1.PublishServiceRequest{Name: "second"}, ruedotest.Echo())
	if len(published.GetPreparations()) != 1 || published.GetPreparations()[0].GetRunner() != "edge-2" {
		t.Errorf("prepared by %v", published.GetPreparations())
	}

	// A core that starts heeds it from the first call on.
	three := ruedotest.New(t, ruedotest.Options{Runners: -1, Etcd: one.Etcd})
	attach(t, "edge-3", three)
	mustCordon(t, three, &ruedov1.CordonRunnerRequest{Runner: "edge-3", From: "ada@laptop"})
	_, err := three.Client.Call(t.Context(), "echo", []byte("x"))
	wantReason(t, err, fault.NoRunner, "the only attached runner is cordoned: edge-3 by ada@laptop", "uncordon a runner")
	expect(t, three.HTTP, three.URL+"/readyz?verbose", 503, "edge-3 by ada@laptop")

	if _, err := two.Client.Cordons.UncordonRunner(t.Context(), &ruedov1.UncordonRunnerRequest{Runner: "edge-1"}); err != nil {
		t.Fatal(err)
	}
	happened(t, two, ruedov1.EventKind_EVENT_KIND_RUNNER_UNCORDONED, "edge-1", "it was cordoned by ada@laptop until ")
	testkit.Eventually(t, "it gets calls again", func() bool {
		return slices.Contains([]string{answers(t, one), answers(t, one)}, "edge-1") // one of two turns
	})
}

// answers calls the service echo and returns who has answered.
func answers(t *testing.T, c *ruedotest.Cluster) string {
	t.Helper()
	res, err := c.Client.Call(t.Context(), "echo", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	return res.Info.GetRunner()
}

func TestCordonTwice(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	id := c.Runners[0].Info().GetId()
	first := mustCordon(t, c, &ruedov1.CordonRunnerRequest{Runner: id, From: "ada@laptop", Reason: "new disk"}).GetCordon()

	for name, same := range map[string]*ruedov1.CordonRunnerRequest{
		"the same":               {Runner: id, From: "ada@laptop", Reason: "new disk"},
		"by its name, no reason": {Runner: "test", From: "ada@laptop"},
		"nothing new by others":  {Runner: id, From: "bob@desk"},
	} {
		res := mustCordon(t, c, same)
		if !res.GetUnchanged() || res.GetCordon().GetVersion() != first.GetVersion() || res.GetCordon().GetFrom() != "ada@laptop" {
			t.Errorf("%s: %v", name, res)
		}
	}
	_, err := c.Client.Cordons.CordonRunner(t.Context(), &ruedov1.CordonRunnerRequest{Runner: id, From: "bob@desk", Reason: "tests"})
	wantReason(t, err, fault.RunnerCordoned, "ada@laptop has cordoned runner "+id+" since ", ": new disk", "force")

	longer := mustCordon(t, c, &ruedov1.CordonRunnerRequest{Runner: id, From: "ada@laptop", Duration: durationpb.New(time.Hour)})
	if got := longer.GetCordon(); longer.GetUnchanged() || got.GetReason() != "new disk" || got.GetEndTime() == nil || !got.GetCreateTime().AsTime().Equal(first.GetCreateTime().AsTime()) {
		t.Errorf("%v", longer)
	}
	forced := mustCordon(t, c, &ruedov1.CordonRunnerRequest{Runner: id, From: "bob@desk", Reason: "tests", Force: true})
	if got := forced.GetCordon(); got.GetFrom() != "bob@desk" || got.GetReason() != "tests" || got.GetEndTime() == nil {
		t.Errorf("%v", forced)
	}

	ended, err := c.Client.Cordons.UncordonRunner(t.Context(), &ruedov1.UncordonRunnerRequest{Runner: id})
	if err != nil || ended.GetUnchanged() || ended.GetPrevious().GetFrom() != "bob@desk" {
		t.Errorf("%v, %v", ended, err)
	}
	ended, err = c.Client.Cordons.UncordonRunner(t.Context(), &ruedov1.UncordonRunnerRequest{Runner: id})
	if err != nil || !ended.GetUnchanged() || ended.GetPrevious() != nil {
		t.Errorf("%v, %v", ended, err)
	}
}

func TestCordonsOfRunnersThatAreNotThere(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 2})
	id := c.Runners[0].Info().GetId()
	cordon := func(runner string, d time.Duration) error {
		_, err := c.Client.Cordons.CordonRunner(t.Context(), &ruedov1.CordonRunnerRequest{Runner: runner, Duration: durationpb.New(d)})
		return err
	}
	wantReason(t, cordon("nobody", time.Hour), fault.RunnerNotFound, `there is no runner "nobody"`, "list the runners")
	wantReason(t, cordon(id[:len(id)-1]+"-", time.Hour), fault.RunnerNotFound, "did you mean")
	wantReason(t, cordon("test", time.Hour), fault.RunnerNotFound, `2 runners are named "test"`, "use an id")
	wantReason(t, cordon(id, -time.Hour), fault.RequestInvalid)
	wantReason(t, cordon(id, 9000*time.Hour), fault.RequestInvalid)
	wantReason(t, cordon("", time.Hour), fault.RequestInvalid)
	_, err := c.Client.Cordons.UncordonRunner(t.Context(), &ruedov1.UncordonRunnerRequest{Runner: "nobody"})
	wantReason(t, err, fault.RunnerNotFound)
	_, err = c.Client.Cordons.GetDrain(t.Context(), &ruedov1.GetDrainRequest{Runner: "nobody"})
	wantReason(t, err, fault.RunnerNotFound)

	// One that goes away while it is cordoned stays listed, and can be named.
	res := mustCordon(t, c, &ruedov1.CordonRunnerRequest{Runner: id, From: "ada@laptop"})
	c.Runners[0].Stop(t)
	testkit.Eventually(t, "it is away", func() bool { return runnerAt(t, c, id).GetState() == ruedov1.RunnerState_RUNNER_STATE_AWAY })
	if got := runnerAt(t, c, id); got.GetCordon() == nil || got.GetName() != "test" || got.GetHost() == "" {
		t.Errorf("%v", got)
	}
	drained, err := drain.Wait(t.Context(), c.Client, id, res.GetCordon().GetVersion(), nil)
	if err != nil || !drained.GetAway() || drained.GetActiveCalls() != 0 {
		t.Errorf("%v, %v", drained, err)
	}
	longer := mustCordon(t, c, &ruedov1.CordonRunnerRequest{Runner: id, From: "ada@laptop", Reason: "it takes longer"}).GetCordon()
	if longer.GetName() != "test" || longer.GetHost() == "" || longer.GetReason() != "it takes longer" {
		t.Errorf("%v", longer)
	}
	if _, err := c.Client.Cordons.UncordonRunner(t.Context(), &ruedov1.UncordonRunnerRequest{Runner: id}); err != nil {
		t.Error(err)
	}
	if got := runnerAt(t, c, id); got != nil {
		t.Errorf("%v", got)
	}
	wantReason(t, cordon(id, time.Hour), fault.RunnerNotFound)
}

// A cordon that has expired is ignored, although its record is still there.
func TestACordonExpires(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	leads(t, c)
	id := c.Runners[0].Info().GetId()
	mustCordon(t, c, &ruedov1.CordonRunnerRequest{Runner: id, Duration: durationpb.New(300 * time.Millisecond)})
	_, err := c.Client.Call(t.Context(), "echo", nil)
	wantReason(t, err, fault.NoRunner)
	testkit.Eventually(t, "it gets calls again", func() bool {
		_, err := c.Client.Call(t.Context(), "echo", nil)
		return err == nil
	})
	if got := runnerAt(t, c, id); got.GetCordon() != nil {
		t.Errorf("%v", got)
	}
	happened(t, c, ruedov1.EventKind_EVENT_KIND_RUNNER_UNCORDONED, id, "its cordon has ended")
	if got, err := c.Etcd.Client().Get(t.Context(), "/ruedo/test/cordons/"+id); err != nil || got.Count != 1 {
		t.Errorf("%v, %v", got, err)
	}
	// Another one takes its place.
	if again := mustCordon(t, c, &ruedov1.CordonRunnerRequest{Runner: id, From: "bob@desk"}); again.GetUnchanged() || again.GetCordon().GetEndTime() != nil {
		t.Errorf("%v", again)
	}
}

// A drain counts the calls of all cores, and ends when there are none.
func TestADrainWaitsForTheCallsOfAllCores(t *testing.T) {
	one := ruedotest.New(t, ruedotest.Options{Runners: -1, Etcd: etcdtest.Start(t, etcdembed.Config{})})
	two := ruedotest.New(t, ruedotest.Options{Runners: -1, Etcd: one.Etcd})
	attach(t, "edge-1", one, two)
	long := &ruedov1.Decorator{Name: "long", Limits: &ruedov1.Limits{Timeout: durationpb.New(time.Hour)}}
	if _, err := one.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: long}); err != nil {
		t.Fatal(err)
	}
	one.Publish(t, &ruedov1.PublishServiceRequest{Name: "loop", Decorators: []string{"long"}}, w.Function(w.Forever()).Bytes())
	ctx, release := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	defer calls.Wait()
	defer release()
	for _, c := range []*ruedotest.Cluster{one, two} {
		calls.Go(func() {
			if _, err := c.Client.Call(ctx, "loop", nil); !errors.Is(err, fault.Canceled) {
				t.Errorf("a call that was in flight: %v", err)
			}
		})
		testkit.Eventually(t, "the call is in flight", func() bool { return runnerAt(t, c, "edge-1").GetActiveCalls() == 1 })
	}
	version := mustCordon(t, one, &ruedov1.CordonRunnerRequest{Runner: "edge-1"}).GetCordon().GetVersion()
	seen := 0
	done := make(chan error, 1)
	go func() {
		res, err := drain.Wait(t.Context(), one.Client, "edge-1", version, func(res *ruedov1.GetDrainResponse) {
			if seen++; seen == 1 && (res.GetActiveCalls() != 2 || len(res.GetCores()) != 2) {
				t.Errorf("%v", res)
			}
			if seen == 3 {
				release()
			}
		})
		if err == nil && (res.GetActiveCalls() != 0 || res.GetAway() || res.GetCordon() == nil) {
			t.Errorf("%v", res)
		}
		done <- err
	}()
	if err := <-done; err != nil || seen < 5 {
		t.Errorf("after %d answers: %v", seen, err)
	}

	// A core that does not answer may have calls.
	if _, err := one.Etcd.Client().Put(t.Context(), "/ruedo/test/cores/gone", "\x1a\x12http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it is listed", func() bool { return len(coresAt(t, one)) == 3 })
	short, enough := context.WithCancel(t.Context())
	defer enough()
	silent := 0
	res, err := drain.Wait(short, one.Client, "edge-1", version, func(res *ruedov1.GetDrainResponse) {
		if strings.Contains(res.String(), "unreachable:true") {
			silent++
		}
		if silent == 4 {
			enough()
		}
	})
	if err == nil || silent != 4 {
		t.Errorf("%v, %v, after %d answers with a core that does not answer", res, err, silent)
	}
	// A version that the store has not reached is not waited for.
	_, err = one.Client.Cordons.GetDrain(t.Context(), &ruedov1.GetDrainRequest{Runner: "edge-1", Version: version + 1_000_000})
	wantReason(t, err, fault.StoreBehind)
}
