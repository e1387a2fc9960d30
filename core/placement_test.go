package core_test

import (
	"strings"
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// executedBy makes n calls and returns how many each runner executed.
func executedBy(t *testing.T, c *ruedotest.Cluster, service string, n int, opts ...client.CallOption) map[string]int {
	t.Helper()
	by := map[string]int{}
	for range n {
		res, err := c.Client.Call(t.Context(), service, []byte(`{}`), opts...)
		if err != nil {
			t.Fatalf("%s: %v", service, err)
		}
		by[res.Info.GetRunner()]++
	}
	return by
}

func id(r *ruedotest.Runner) string { return r.Info().GetId() }

func TestZoneFirst(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1, Zone: "a"})
	near := []*ruedotest.Runner{c.AddRunner(t, ruedotest.Labels("zone=a")), c.AddRunner(t, ruedotest.Labels("zone=a"))}
	far := c.AddRunner(t, ruedotest.Labels("zone=b"))
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo"}, ruedotest.Echo())
	if by := executedBy(t, c, "echo", 20); by[id(near[0])] != 10 || by[id(near[1])] != 10 {
		t.Errorf("%v, want 10 each in the zone", by)
	}
	near[0].Stop(t)
	near[1].Stop(t)
	if by := executedBy(t, c, "echo", 10); by[id(far)] != 10 {
		t.Errorf("%v, want all elsewhere", by)
	}
	back := c.AddRunner(t, ruedotest.Labels("zone=a"))
	testkit.Eventually(t, "calls return to the zone", func() bool { return executedBy(t, c, "echo", 1)[id(back)] == 1 })
	list, err := c.Client.Cluster.ListCores(t.Context(), &ruedov1.ListCoresRequest{})
	if err != nil || len(list.GetItems()) != 1 || list.GetItems()[0].GetZone() != "a" {
		t.Errorf("%v, %v", list, err)
	}
}

func TestPlacement(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	a := c.AddRunner(t, ruedotest.Labels("zone=a", "rack=7"))
	b := c.AddRunner(t, ruedotest.Labels("zone=b", "rack=8"))
	plans := func(r *ruedotest.Runner) uint32 { return r.PlanUsage().GetPlans() }
	publish := func(placement string, args ...string) *ruedov1.PublishServiceResponse {
		t.Helper()
		return c.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo", Placement: placement, Env: map[string]string{"V": strings.Join(args, "")}}, ruedotest.Echo())
	}
	res := publish("zone=b")
	if ps := res.GetPreparations(); len(ps) != 1 || ps[0].GetRunner() != id(b) || plans(a) != 0 || res.GetService().GetRevision().GetPlacement() != "zone=b" {
		t.Errorf("prepared: %v, %d plans elsewhere", ps, plans(a))
	}
	if by := executedBy(t, c, "echo", 10); by[id(b)] != 10 {
		t.Errorf("%v, want all on b", by)
	}
	publish("rack in (7)")
	if by := executedBy(t, c, "echo", 10); by[id(a)] != 10 {
		t.Errorf("%v, want all on a", by)
	}
	// A revision that a call names has its own placement, and so has one that a
	// rollback makes live.
	if by := executedBy(t, c, "echo", 10, client.WithRevision(1)); by[id(b)] != 10 {
		t.Errorf("revision 1: %v, want all on b", by)
	}
	if _, err := c.Client.Services.RollbackService(t.Context(), &ruedov1.RollbackServiceRequest{Name: "echo"}); err != nil {
		t.Fatal(err)
	}
	if by := executedBy(t, c, "echo", 10); by[id(b)] != 10 {
		t.Errorf("after the rollback: %v, want all on b", by)
	}

	// The runner goes, the next one comes and prepares without being asked.
	b.Stop(t)
	_, err := c.Client.Call(t.Context(), "echo", []byte(`{}`))
	testkit.WantReason(t, err, fault.NoRunner, "the placement zone=b", "1 other runner does not meet it")
	if r := readiness(t, c, "echo"); r.GetReason() != string(fault.NoRunner) || !strings.Contains(r.GetMessage(), "zone=b") {
		t.Errorf("readiness: %v", r)
	}
	if _, err := c.Client.Services.RollbackService(t.Context(), &ruedov1.RollbackServiceRequest{Name: "echo", Revision: 2}); err != nil {
		t.Errorf("a rollback to a revision that a runner may execute: %v", err)
	}
	_, err = c.Client.Services.RollbackService(t.Context(), &ruedov1.RollbackServiceRequest{Name: "echo", Revision: 1})
	testkit.WantReason(t, err, fault.NoRunner, "the placement zone=b")
	_, err = c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "echo", Placement: "zone=b"}, ruedotest.Echo())
	testkit.WantReason(t, err, fault.NoRunner, "Revision 2 stays live", "force the publish")
	forced, err := c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "echo", Placement: "zone=b", Force: true}, ruedotest.Echo())
	if err != nil || len(forced.GetWarnings()) != 1 || len(forced.GetPreparations()) != 0 {
		t.Errorf("forced: %v, %v", forced, err)
	}
	b = c.AddRunner(t, ruedotest.Labels("zone=b"))
	testkit.Eventually(t, "it is prepared in the background", func() bool {
		r := readiness(t, c, "echo")
		return r.GetReason() == "" && r.GetRunners() == 1 && plans(b) == 1
	})
	if by := executedBy(t, c, "echo", 3); by[id(b)] != 3 {
		t.Errorf("%v, want all on the new one", by)
	}
	_, err = c.TryPublish(t.Context(), &ruedov1.PublishServiceRequest{Name: "echo", Placement: "zone=b,,"}, ruedotest.Echo())
	testkit.WantReason(t, err, fault.RequestInvalid, `the placement of service echo: the label selector "zone=b,," is not valid at character 8`)

	list, err := client.All(c.Client.ListRunners(t.Context(), &ruedov1.ListRunnersRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if want := map[string]string{id(a): "a", id(b): "b"}[r.GetId()]; r.GetLabels()["zone"] != want {
			t.Errorf("labels of %s: %v, want zone %s", r.GetId(), r.GetLabels(), want)
		}
	}
}

// A service that nobody may execute does not hold up a change of its decorator,
// and one that somebody executes is prepared with it only there.
func TestAChangeOfADecoratorAsksOnlyWhereThePlacementAllows(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: -1})
	a := c.AddRunner(t, ruedotest.Labels("zone=a"))
	b := c.AddRunner(t, ruedotest.Labels("zone=b"))
	createDecorator(t, c, limited("shared", 32<<20))
	c.Publish(t, &ruedov1.PublishServiceRequest{Name: "here", Decorators: []string{"shared"}, Placement: "zone=a"}, roomy())
	if res := c.Publish(t, &ruedov1.PublishServiceRequest{Name: "nowhere", Decorators: []string{"shared"}, Placement: "zone=c"}, roomy()); len(res.GetWarnings()) != 1 {
		t.Errorf("warnings %v", res.GetWarnings())
	}
	if _, err := updateDecorator(t, c, limited("shared", 48<<20), false); err != nil {
		t.Errorf("a change: %v", err)
	}
	_, err := updateDecorator(t, c, limited("shared", 1<<20), false)
	testkit.WantReason(t, err, fault.DecoratorBreaksServices, "1 service could not run with the change: here")
	if by := executedBy(t, c, "here", 5); by[id(a)] != 5 {
		t.Errorf("%v, want all on a", by)
	}
	if n := b.PlanUsage().GetPlans(); n != 0 {
		t.Errorf("%d plans on a runner that may execute none of them", n)
	}
}

func TestInProcessAPlacementIsNotApplied(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Local: true})
	res := c.Publish(t, &ruedov1.PublishServiceRequest{Name: "echo", Placement: "zone=b"}, ruedotest.Echo())
	if len(res.GetWarnings()) != 1 || !strings.Contains(res.GetWarnings()[0], "not applied") {
		t.Errorf("warnings %v", res.GetWarnings())
	}
	executedBy(t, c, "echo", 1)
}
