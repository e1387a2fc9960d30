package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// runnerGauges add up what runners have reported over their lanes.
type runnerGauges struct {
	read func() (runners []*ruedov1.Runner, streams int)
}

// Runners adds the gauges of what the attached runners report, and of how many
// streams are open on them; read is called when the metrics are read. They are
// sums, because ids of runners come and go. Call it once.
func (m *Metrics) Runners(read func() (runners []*ruedov1.Runner, streams int)) {
	m.registry.MustRegister(runnerGauges{read})
}

func (g runnerGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []Metric{runnersAttached, runnerCalls, runnerStreams, runnerPlans, runnerMemory} {
		ch <- desc(m)
	}
}

func (g runnerGauges) Collect(ch chan<- prometheus.Metric) {
	runners, streams := g.read()
	var calls, plans, bytes float64
	for _, r := range runners {
		calls += float64(r.GetActiveCalls())
		plans += float64(r.GetPlanUsage().GetPlans())
		bytes += float64(r.GetPlanUsage().GetMemoryBytes())
	}
	set := func(m Metric, value float64) {
		ch <- prometheus.MustNewConstMetric(desc(m), prometheus.GaugeValue, value)
	}
	set(runnersAttached, float64(len(runners)))
	set(runnerCalls, calls)
	set(runnerStreams, float64(streams))
	set(runnerPlans, plans)
	set(runnerMemory, bytes)
}
