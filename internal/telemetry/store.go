package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Store is what a core knows about its store, and how far its memory is behind.
type Store struct {
	// Latency is how long the store took to answer when it last did, and Age how
	// long ago that was.
	Latency, Age time.Duration
	// Lag is how long the core's memory has been behind the store, by Revisions.
	Lag       time.Duration
	Revisions int64
	// Member is what the member of the store in the same process reports. Nil if
	// there is none, or if it does not answer.
	Member *ruedov1.MemberStatus
}

// storeGauges reads what is known about the store when the metrics are read.
type storeGauges struct{ read func() Store }

var storeMetrics = []Metric{storeLatency, storeAge, mirrorLag, mirrorRevisions}

var memberMetrics = []Metric{memberSize, memberUsed, memberQuota, memberProblems}

// Store adds the gauges about the store; read is called when the metrics are
// read. Call it once.
func (m *Metrics) Store(read func() Store) { m.registry.MustRegister(storeGauges{read}) }

func desc(m Metric) *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }

func (g storeGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range append(storeMetrics[:len(storeMetrics):len(storeMetrics)], memberMetrics...) {
		ch <- desc(m)
	}
}

func (g storeGauges) Collect(ch chan<- prometheus.Metric) {
	s := g.read()
	set := func(metrics []Metric, values ...float64) {
		for i, m := range metrics {
			ch <- prometheus.MustNewConstMetric(desc(m), prometheus.GaugeValue, values[i])
		}
	}
	set(storeMetrics, s.Latency.Seconds(), s.Age.Seconds(), s.Lag.Seconds(), float64(s.Revisions))
	if m := s.Member; m != nil {
		set(memberMetrics, float64(m.GetSizeBytes()), float64(m.GetUsedBytes()), float64(m.GetQuotaBytes()), float64(len(m.GetProblems())))
	}
}
