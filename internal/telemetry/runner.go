package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Ejection counts a runner that was ejected. The causes are those of package
// dispatch.
func (m *Metrics) Ejection(cause string) { m.ejections.WithLabelValues(cause).Inc() }

// OutOfService adds the gauges of runners that get no calls; count returns how
// many are ejected and how many are cordoned, and is called when the metrics are
// read. The counter of each cause of ejections begins with zero. Call it once.
func (m *Metrics) OutOfService(causes []string, count func() (ejected, cordoned int)) {
	for _, cause := range causes {
		m.ejections.WithLabelValues(cause)
	}
	gauge := func(of Metric, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: of.Name, Help: of.Help}, func() float64 { return float64(value()) })
	}
	m.registry.MustRegister(
		gauge(runnersEjected, func() int { n, _ := count(); return n }),
		gauge(runnersCordoned, func() int { _, n := count(); return n }),
	)
}
