package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// runnerGauges add up what runners have reported over their lanes.
type runnerGauges struct{ read func() []*ruedov1.Runner }

// Runners adds the gauges of what the attached runners report; read is called
// when the metrics are read. They are sums, because ids of runners come and go.
// Call it once.
func (m *Metrics) Runners(read func() []*ruedov1.Runner) {
	m.registry.MustRegister(runnerGauges{read})
}

func (g runnerGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []Metric{runnersAttached, runnerCalls, runnerPlans, runnerMemory} {
		ch <- desc(m)
	}
}

func (g runnerGauges) Collect(ch chan<- prometheus.Metric) {
	runners := g.read()
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
	set(runnerPlans, plans)
	set(runnerMemory, bytes)
}
