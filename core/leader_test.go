package core_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/core"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// leads waits until a core leads, which all of them name, and returns its index.
func leads(t *testing.T, cores ...*ruedotest.Cluster) int {
	t.Helper()
	found := -1
	testkit.Eventually(t, "one core leads, and all say so", func() bool {
		id := ""
		for _, c := range cores {
			res, err := c.Client.Leader.GetLeader(t.Context(), &ruedov1.GetLeaderRequest{})
			if err != nil || id != "" && id != res.GetLeader().GetCore() {
				return false
			}
			id = res.GetLeader().GetCore()
		}
		found = -1
		for i, c := range cores {
			if c.Core.ID() == id {
				found = i
			}
		}
		return found >= 0
	})
	return found
}

func TestAnyCoreSaysWhoLeads(t *testing.T) {
	one := ruedotest.New(t, ruedotest.Options{Runners: -1})
	two := ruedotest.New(t, ruedotest.Options{Runners: -1, Etcd: one.Etcd})
	cores := []*ruedotest.Cluster{one, two}
	testkit.Eventually(t, "both are listed by both", func() bool { return len(coresAt(t, one)) == 2 && len(coresAt(t, two)) == 2 })
	for range 2 {
		i := leads(t, cores...)
		leader, other := cores[i], cores[1-i]
		expect(t, leader.HTTP, leader.URL+"/leader-check", 200, "this core leads: "+leader.Core.ID()+"\n")
		expect(t, leader.HTTP, leader.URL+"/leader-check/503", 200, "this core leads")
		expect(t, other.HTTP, other.URL+"/leader-check", 404, "another core leads: "+leader.Core.ID()+"\n")
		expect(t, other.HTTP, other.URL+"/leader-check/503", 503, "another core leads: "+leader.Core.ID()+"\n")
		for _, bad := range []string{"200", "600", "-1", "x", "404x"} {
			expect(t, other.HTTP, other.URL+"/leader-check/"+bad, 400, "a number from 300 to 599\n")
		}
		expect(t, other.HTTP, other.URL+"/leader-check/a/b", 404, "")
		// That another core leads is no failure of this one.
		for line := range strings.Lines(metrics(t, other)) {
			if strings.Contains(line, `procedure="leader-check"`) && !strings.Contains(line, `outcome="ok"`) {
				t.Errorf("a core that does not lead counts %s", line)
			}
		}
		for _, c := range cores {
			list, err := client.All(c.Client.ListCores(t.Context(), &ruedov1.ListCoresRequest{}))
			if err != nil || len(list) != 2 {
				t.Fatal(list, err)
			}
			for _, info := range list {
				if info.GetLeader() != (info.GetId() == leader.Core.ID()) {
					t.Errorf("core %s: leader is %t", info.GetId(), info.GetLeader())
				}
			}
			status, err := c.Client.Cluster.GetStatus(t.Context(), &ruedov1.GetStatusRequest{})
			if err != nil || status.GetCore().GetLeader() != (c == leader) {
				t.Errorf("%v, %v", status.GetCore(), err)
			}
			want := map[bool]string{true: "ruedo_leader 1\n", false: "ruedo_leader 0\n"}[c == leader]
			if !strings.Contains(metrics(t, c), want) {
				t.Errorf("the metrics lack %q", want)
			}
		}
		res, err := other.Client.Leader.YieldLeadership(t.Context(), &ruedov1.YieldLeadershipRequest{To: other.Core.ID()})
		if err != nil || res.GetLeader().GetCore() != other.Core.ID() || res.GetPrevious() != leader.Core.ID() || res.GetUnchanged() {
			t.Fatalf("%v, %v", res, err)
		}
	}
	_, err := one.Client.Leader.YieldLeadership(t.Context(), &ruedov1.YieldLeadershipRequest{To: "nobody"})
	testkit.WantReason(t, err, fault.CoreNotFound, `there is no core "nobody"`)
}

// A core that was asked to end hands over before it waits for anything.
func TestACoreThatGoesDownHandsOverImmediately(t *testing.T) {
	e := etcdtest.Start(t, etcdembed.Config{})
	cfg := config(e)
	cfg.ShutdownDelay, cfg.LeaseTTL = 4*time.Second, time.Minute
	first, err := core.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- first.Serve(ctx) }()
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	testkit.Eventually(t, "it leads", func() bool { status, _ := probe(t, fresh, first.URL()+"/leader-check"); return status == 200 })
	second := ruedotest.New(t, ruedotest.Options{Runners: -1, Etcd: e})
	began := time.Now()
	stop()
	testkit.Eventually(t, "the other one leads", func() bool {
		status, _ := probe(t, second.HTTP, second.URL+"/leader-check")
		return status == 200
	})
	if took := time.Since(began); took > cfg.ShutdownDelay {
		t.Errorf("after %v", took)
	}
	testkit.Eventually(t, "the first one says so, while it still serves", func() bool {
		status, text := probe(t, fresh, first.URL()+"/leader-check")
		return status == 404 && strings.HasPrefix(text, "another core leads: "+second.Core.ID())
	})
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestJobsAreSeenOnEveryCoreAndRunOnTheLeader(t *testing.T) {
	one := ruedotest.New(t, ruedotest.Options{Runners: 1})
	two := ruedotest.New(t, ruedotest.Options{Runners: -1, Etcd: one.Etcd})
	cores := []*ruedotest.Cluster{one, two}
	i := leads(t, cores...)
	leader, other := cores[i], cores[1-i]
	publishEcho(t, one, &ruedov1.PublishServiceRequest{})

	_, err := other.Client.Jobs.RunJob(t.Context(), &ruedov1.RunJobRequest{Name: "collect-modules"})
	testkit.WantReason(t, err, fault.NotLeader, "core "+leader.Core.ID()+" leads the cluster", leader.URL)
	for _, dry := range []*ruedotest.Cluster{leader, other} {
		res, err := dry.Client.Jobs.RunJob(t.Context(), &ruedov1.RunJobRequest{Name: "collect-modules", DryRun: true})
		if err != nil || res.GetRun().GetResult() != "would remove 0 modules, 0 bytes; 1 stay" || res.GetRun().GetCore() != dry.Core.ID() {
			t.Errorf("%v, %v", res, err)
		}
	}
	testkit.Eventually(t, "the leader runs the job", func() bool {
		_, err := leader.Client.Jobs.RunJob(t.Context(), &ruedov1.RunJobRequest{Name: "collect-modules"})
		return err == nil
	})
	for _, c := range cores {
		list, err := client.All(c.Client.ListJobs(t.Context(), &ruedov1.ListJobsRequest{PageSize: 1}))
		if err != nil || len(list) != 6 {
			t.Fatal(list, err)
		}
		for _, j := range list {
			interval := time.Hour
			switch j.GetName() {
			case "expire-cordons":
				interval = 5 * time.Minute
			case "expire-tokens":
				interval = 10 * time.Minute
			}
			if j.GetInterval().AsDuration() != interval || j.GetDescription() == "" {
				t.Errorf("%v", j)
			}
			if last := j.GetLast(); (last != nil) != (j.GetName() == "collect-modules") || last != nil && (last.GetCore() != leader.Core.ID() || last.GetResult() != "removed 0 modules, 0 bytes; 1 stay" || last.GetDuration().AsDuration() <= 0 || j.GetNextTime() == nil) {
				t.Errorf("%v", j)
			}
		}
	}
	text := metrics(t, leader)
	for _, want := range []string{`ruedo_job_runs_total{job="collect-modules",outcome="ok"} `, `ruedo_job_duration_seconds{job="collect-modules"} `, `ruedo_job_last_success_timestamp_seconds{job="collect-modules"} `} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(metrics(t, other), "ruedo_job_runs_total{") {
		t.Error("the other core counts jobs that it has not run")
	}
	_, err = leader.Client.Jobs.RunJob(t.Context(), &ruedov1.RunJobRequest{Name: "collect-everything"})
	testkit.WantReason(t, err, fault.JobNotFound)
}
