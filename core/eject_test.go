package core_test

import (
	"context"
	"strings"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// sick is a runner that prepares everything and fails every call.
type sick struct{}

func (sick) Execute(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
	if strings.Trim(req.GetPlan(), "0") == "" { // the probe
		return nil, fault.New(fault.PlanNotFound, "no such plan")
	}
	return nil, fault.New(fault.Integrity, "the module on the disk of this runner is damaged")
}

func (sick) Prepare(context.Context, *runnerv1.PrepareRequest) (*runnerv1.PrepareResponse, error) {
	return &runnerv1.PrepareResponse{Preparation: &ruedov1.Preparation{}}, nil
}

// A runner that fails its calls is taken out, and everybody can see why.
func TestASickRunnerIsEjected(t *testing.T) {
	c := ruedotest.New(t, ruedotest.Options{Runners: 1})
	bad, err := lane.Dial(t.Context(), lane.ConnConfig{
		URL: c.URL, Cluster: "test", Runner: &ruedov1.Runner{Id: "sick", Concurrency: 4},
		Bind: func(executor.Source) executor.Runner { return sick{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	publishEcho(t, c, &ruedov1.PublishServiceRequest{})
	failed := 0
	for failed < 5 {
		if _, err := c.Client.Call(t.Context(), "echo", nil); err != nil {
			wantReason(t, err, fault.Integrity)
			failed++
		}
	}
	r := runnerAt(t, c, "sick")
	if e := r.GetEjection(); r.GetState() != ruedov1.RunnerState_RUNNER_STATE_READY || e.GetCause() != "faults" || e.GetWaived() ||
		!strings.Contains(e.GetMessage(), "INTEGRITY: the module on the disk of this runner is damaged") ||
		e.GetProbeTime().AsTime().Before(e.GetEjectTime().AsTime()) {
		t.Errorf("%v", r)
	}
	text := metrics(t, c)
	for _, want := range []string{"ruedo_runners_ejected 1\n", `ruedo_runner_ejections_total{cause="faults"} 1` + "\n", "ruedo_runners_ready 1\n", "ruedo_runners_cordoned 0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
	// It answers its probe, and fails again; each time it is out for longer.
	testkit.Eventually(t, "it is ejected again", func() bool {
		_, _ = c.Client.Call(t.Context(), "echo", nil)
		e := runnerAt(t, c, "sick").GetEjection()
		return e.GetProbeTime().AsTime().Sub(e.GetEjectTime().AsTime()) >= 2*time.Second
	})

	happened(t, c, ruedov1.EventKind_EVENT_KIND_RUNNER_EJECTED, "sick", "faults: INTEGRITY: the module")
	happened(t, c, ruedov1.EventKind_EVENT_KIND_RUNNER_READMITTED, "sick", "it has answered a probe")
	testkit.Eventually(t, "the health of the cluster knows it", func() bool {
		_, _ = c.Client.Call(t.Context(), "echo", nil)
		return finds(t, c, warned, "runners", "1 runner ejected for a while, because of failures: sick (by "+c.Core.ID()+": INTEGRITY: ")
	})

	// If it is the only one, it gets the calls all the same.
	c.Runners[0].Stop(t)
	testkit.Eventually(t, "it is the only one", func() bool {
		_, err := c.Client.Call(t.Context(), "echo", nil)
		return fault.ReasonOf(err) == fault.Integrity
	})
	testkit.Eventually(t, "its ejection is waived", func() bool {
		_, _ = c.Client.Call(t.Context(), "echo", nil)
		return runnerAt(t, c, "sick").GetEjection().GetWaived()
	})
}
