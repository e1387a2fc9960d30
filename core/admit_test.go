package core_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// idle is a runner that does nothing.
type idle struct{}

func (idle) Execute(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	return nil, fault.New(fault.PlanNotFound, "it does nothing")
}

func (idle) Prepare(context.Context, *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error) {
	return &runnerv1.PrepareResponse{}, nil
}

// dial attaches a runner that started at a time.
func dial(t *testing.T, url, id string, started time.Time) (*lane.Conn, error) {
	t.Helper()
	return lane.Dial(t.Context(), lane.ConnConfig{
		URL: url, Cluster: "test",
		Runner: &ruedov1.Runner{Id: id, Concurrency: 1, StartTime: timestamppb.New(started)},
		Bind:   func(executor.Source) executor.Runner { return idle{} },
	})
}

// The limit is one of the whole cluster, and those that were first stay.
func TestTheRunnersOfAClusterAreBounded(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	cfg := config(e)
	cfg.MaxRunners = 2
	one, two := serveCore(t, cfg), serveCore(t, cfg)
	now := time.Now()
	registered := func(n int) {
		t.Helper()
		testkit.Eventually(t, "the runners are registered", func() bool {
			got, err := e.Client().Get(t.Context(), "/ruedo/test/runners/a")
			more, err2 := e.Client().Get(t.Context(), "/ruedo/test/runners/b")
			return err == nil && err2 == nil && int(got.Count+more.Count) == n
		})
	}
	a, err := dial(t, one, "a", now)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := dial(t, two, "b", now.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	registered(2)
	for _, url := range []string{one, two} {
		testkit.Eventually(t, "a third one is refused", func() bool {
			c, err := dial(t, url, "c", now.Add(time.Minute))
			if err == nil {
				c.Close()
				return false
			}
			wantReason(t, err, fault.RunnerLimit, "the cluster has 2 runners, its limit is 2", "server.max_runners")
			return true
		})
	}
	// The second one attaches to the other core as well, and comes back.
	other, err := dial(t, one, "b", now.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	a.Close()
	testkit.Eventually(t, "there is room again", func() bool {
		c, err := dial(t, two, "c", now.Add(time.Minute))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func TestTheLanesOfAnAddressAreBounded(t *testing.T) {
	cfg := config(etcdtest.Start(t, etcdembed.Config{}))
	cfg.MaxLanesPerAddress = 1
	url := serveCore(t, cfg)
	a, err := dial(t, url, "a", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	_, err = dial(t, url, "b", time.Now())
	wantReason(t, err, fault.LaneLimit, "address 127.0.0.1 has 1 lanes to this core")
}

// While a runner answers, nobody else gets its id, and its calls go on.
func TestAnIDThatIsAttachedIsRefused(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	id := c.Runners[0].Info().GetId()
	_, err := dial(t, c.URL, id, time.Now())
	wantReason(t, err, fault.AlreadyExists, "another runner attached as "+id, "an id of its own")
	if got := answers(t, c); got != id {
		t.Errorf("%s has answered", got)
	}
}

// serveCore starts a core and returns its URL.
func serveCore(t *testing.T, cfg core.Config) string {
	t.Helper()
	c, err := core.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, c.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return c.URL()
}
