package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// jobMetrics are about the jobs that this core has run as the leader.
type jobMetrics struct {
	runs                *prometheus.CounterVec
	duration, succeeded *prometheus.GaugeVec
}

func newJobMetrics() jobMetrics {
	return jobMetrics{runs: counters(jobRuns), duration: gauges(jobDuration), succeeded: gauges(jobSuccess)}
}

// Leads adds the gauge of whether this core leads the cluster; leading is called
// when the metrics are read. Call it once.
func (m *Metrics) Leads(leading func() bool) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: leads.Name, Help: leads.Help}, func() float64 {
		if leading() {
			return 1
		}
		return 0
	}))
}

// Job counts one run of a job of the leader. outcome is the reason of its failure,
// or "".
func (m *Metrics) Job(job string, outcome fault.Reason, took time.Duration) {
	m.jobs.runs.WithLabelValues(job, label(outcome)).Inc()
	m.jobs.duration.WithLabelValues(job).Set(took.Seconds())
	if outcome == "" {
		m.jobs.succeeded.WithLabelValues(job).SetToCurrentTime()
	}
}
