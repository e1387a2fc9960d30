package core_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/runner"
)

// happened waits until a core lists an event.
func happened(t *testing.T, c *ruedotest.Cluster, kind ruedov1.EventKind, object, text string) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("%v of %s", kind, object), func() bool {
		res, err := c.Client.Events.ListEvents(t.Context(), &ruedov1.ListEventsRequest{Kinds: []ruedov1.EventKind{kind}})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range res.GetItems() {
			if e.GetObject() == object && strings.Contains(e.GetText(), text) && e.GetCore() == c.Core.ID() && e.GetCount() > 0 && e.GetVersion() <= res.GetVersion() {
				return true
			}
		}
		return false
	})
}

func TestWhatHappensInAClusterIsRecorded(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Etcd: etcdtest.Start(t, etcdembed.Config{})})
	happened(t, c, ruedov1.EventKind_EVENT_KIND_LEADER_ELECTED, c.Core.ID(), "it leads the cluster")
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	happened(t, c, ruedov1.EventKind_EVENT_KIND_PUBLISHED, "echo@1", "it is live")
	publishEcho(t, c, &ruedov1.PublishServiceRequest{Args: []string{"x"}, NoLive: true})
	happened(t, c, ruedov1.EventKind_EVENT_KIND_PUBLISHED, "echo@2", "it is stored and not live")
	testkit.Eventually(t, "the metrics count the publishes", func() bool {
		return strings.Contains(metrics(t, c), `ruedo_events_total{kind="published"} 2`+"\n")
	})
}

func TestAPrepareThatFailsIsRecorded(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	if _, err := c.Client.Decorators.CreateDecorator(t.Context(), &ruedov1.CreateDecoratorRequest{Decorator: limited("tight", 1<<20)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "big", Decorators: []string{"tight"}}, roomy()); err == nil {
		t.Fatal("it was published")
	}
	happened(t, c, ruedov1.EventKind_EVENT_KIND_PREPARE_FAILED, "big", "runner "+c.Runners[0].Info().GetId()+" could not prepare it: ")
}

// A runner that is cut off is an event. One that leaves is none.
func TestALostRunnerIsRecorded(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	leaves := c.Runners[0]
	leaves.Stop(t)

	proxy := testkit.NewProxy(t, strings.TrimPrefix(c.URL, "http://"))
	r, err := runner.New(t.Context(), runner.Config{Name: "far", Cluster: "test", Cores: []string{"http://" + proxy.Addr()}, CacheDir: t.TempDir(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close(context.Background()) }()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	defer func() {
		stop()
		<-done
	}()
	attached := func() bool {
		list, err := c.Client.Cluster.ListRunners(t.Context(), &ruedov1.ListRunnersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range list.GetItems() {
			if info.GetId() == r.Info().GetId() && info.GetState() == ruedov1.RunnerState_RUNNER_STATE_READY {
				return true
			}
		}
		return false
	}
	testkit.Eventually(t, "it is attached", attached)
	proxy.Freeze()
	happened(t, c, ruedov1.EventKind_EVENT_KIND_RUNNER_LOST, r.Info().GetId(), "its lane broke: ")
	proxy.Thaw()
	res, err := c.Client.Events.ListEvents(t.Context(), &ruedov1.ListEventsRequest{Kinds: []ruedov1.EventKind{ruedov1.EventKind_EVENT_KIND_RUNNER_LOST}})
	if err != nil || len(res.GetItems()) != 1 {
		t.Errorf("%v, %v", res, err)
	}
	_, err = c.Client.Events.ListEvents(t.Context(), &ruedov1.ListEventsRequest{Kinds: []ruedov1.EventKind{99}})
	wantReason(t, err, fault.RequestInvalid)
	_, err = c.Client.Events.ListEvents(t.Context(), &ruedov1.ListEventsRequest{AfterVersion: -1})
	wantReason(t, err, fault.RequestInvalid)
}
