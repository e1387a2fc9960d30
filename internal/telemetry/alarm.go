package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// alarmGauge counts the alarms that there are when the metrics are read.
type alarmGauge struct {
	desc   *prometheus.Desc
	alarms func() []string
}

var _ prometheus.Collector = (*alarmGauge)(nil)

func (g *alarmGauge) Describe(ch chan<- *prometheus.Desc) { ch <- g.desc }

func (g *alarmGauge) Collect(ch chan<- prometheus.Metric) {
	count := map[string]int{}
	for _, reason := range g.alarms() {
		count[label(fault.Reason(reason))]++
	}
	for reason, n := range count {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(n), reason)
	}
}
