package core_test

import (
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// TestRunnersShowWhatTheyHoldReady publishes two services, on a runner behind a
// lane and on one in the process.
func TestRunnersShowWhatTheyHoldReady(t *testing.T) {
	for name, opts := range map[string]ruedotest.Options{"over a lane": {Runners: 1}, "in one process": {Local: true}} {
		t.Run(name, func(t *testing.T) {
			c := ruedotest.New(t, opts)
			usage := func() *ruedov1.PlanUsage {
				res, err := c.Client.Cluster.ListRunners(t.Context(), &ruedov1.ListRunnersRequest{})
				if err != nil || len(res.GetItems()) != 1 {
					t.Fatalf("%v, %v", res, err)
				}
				return res.GetItems()[0].GetPlanUsage()
			}
			testkit.Eventually(t, "nothing is ready", func() bool { return usage() != nil && usage().GetPlans() == 0 })
			for _, service := range []string{"one", "two"} {
				c.Publish(t, &ruedov1.PublishServiceRequest{Name: service, Env: map[string]string{"NAME": service}}, ruedotest.Echo())
			}
			testkit.Eventually(t, "two plans are ready", func() bool { return usage().GetPlans() == 2 })
			if u := usage(); u.GetMemoryBytes() < 64<<10 || u.GetMemoryLimitBytes() < 16<<20 {
				t.Errorf("%v", u)
			}
		})
	}
}
