package telemetry_test

import (
	"strings"
	"testing"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/telemetry"
)

func TestWhatIsKnownAboutTheStore(t *testing.T) {
	m := telemetry.New(func() int { return 0 }, func() []string { return nil })
	s := telemetry.Store{Latency: 2 * time.Millisecond, Age: time.Second, Lag: 3 * time.Second, Revisions: 4}
	m.Store(func() telemetry.Store { return s })
	got := read(m)
	for _, want := range []string{"ruedo_store_latency_seconds 0.002\n", "ruedo_store_age_seconds 1\n", "ruedo_mirror_lag_seconds 3\n", "ruedo_mirror_lag_revisions 4\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
	if strings.Contains(got, "ruedo_member_") {
		t.Error("a member that is not there has metrics")
	}
	s.Member = &ruedov1.MemberStatus{SizeBytes: 5, UsedBytes: 6, QuotaBytes: 7, Problems: []string{"a"}}
	got = read(m)
	for _, want := range []string{"ruedo_member_size_bytes 5\n", "ruedo_member_used_bytes 6\n", "ruedo_member_quota_bytes 7\n", "ruedo_member_problems 1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}

func TestWhatRunnersReportIsAddedUp(t *testing.T) {
	m := telemetry.New(func() int { return 0 }, func() []string { return nil })
	m.Runners(func() ([]*ruedov1.Runner, int) {
		return []*ruedov1.Runner{
			{ActiveCalls: 1, PlanUsage: &ruedov1.PlanUsage{Plans: 2, MemoryBytes: 3}},
			{ActiveCalls: 4}, // it has not reported yet
			{PlanUsage: &ruedov1.PlanUsage{Plans: 5, MemoryBytes: 6}},
		}, 8
	})
	got := read(m)
	for _, want := range []string{"ruedo_runners_attached 3\n", "ruedo_runner_calls 5\n", "ruedo_runner_streams 8\n", "ruedo_runner_plans 7\n", "ruedo_runner_plan_memory_bytes 9\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}

func TestEventsAreCountedByKind(t *testing.T) {
	m := telemetry.New(func() int { return 0 }, func() []string { return nil })
	m.Event(ruedov1.EventKind_EVENT_KIND_RUNNER_LOST, true)
	m.Event(ruedov1.EventKind_EVENT_KIND_RUNNER_LOST, false)
	got := read(m)
	for _, want := range []string{`ruedo_events_total{kind="runner_lost"} 2`, "ruedo_events_dropped_total 1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}
