// Package telemetry counts what the program does, for Prometheus.
//
// Make one [Metrics] per core with [New], pass it to the code that sees calls,
// and mount [Metrics.Handler]. There is no global registry: two cores in one
// process count separately. [Table] describes all metrics.
//
// Every call is counted once, by the core that answered it, under the name of
// its service and its outcome: "ok", or the reason of its failure. Its usage
// (CPU time, memory, fuel, the cost of restoring its instance) is what its
// runner measured.
//
// Every request is counted once too, under its procedure and its outcome. That
// includes requests that were refused before there was a call, and requests
// that are not calls.
//
// # Bounds
//
// Callers cannot choose the value of a label: services and procedures are those
// that exist, and outcomes are the reasons of package fault. Everything else
// becomes "other".
package telemetry

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Values of labels.
const (
	// OK is the outcome of success.
	OK = "ok"
	// Other stands for all unknown outcomes and procedures.
	Other = "other"
)

// Metrics are the counters of one core. All methods can be called from many
// goroutines at the same time.
type Metrics struct {
	registry *prometheus.Registry

	services *services
	requests *prometheus.CounterVec
	cold     *prometheus.CounterVec
	panics   prometheus.Counter

	egressStreams, egressBytes *prometheus.CounterVec

	jobs   jobMetrics
	events eventMetrics

	ejections *prometheus.CounterVec
	denied    *prometheus.CounterVec
}

// New returns new counters. runners returns how many runners are ready, and alarms
// the reasons of the alarms that the store has; both are called when the metrics
// are read.
func New(runners func() int, alarms func() []string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		services: newServices(), requests: counters(requests), cold: counters(cold),
		egressStreams: counters(egressStreams), egressBytes: counters(egressBytes),
		jobs:      newJobMetrics(),
		events:    newEventMetrics(),
		ejections: counters(runnerEjections),
		denied:    counters(denied),
		panics:    prometheus.NewCounter(prometheus.CounterOpts{Name: panics.Name, Help: panics.Help}),
	}
	m.registry.MustRegister(m.panics, m.services, m.requests, m.cold, m.egressStreams, m.egressBytes,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: runnersReady.Name, Help: runnersReady.Help}, func() float64 { return float64(runners()) }),
		&alarmGauge{prometheus.NewDesc(alarmsRaised.Name, alarmsRaised.Help, alarmsRaised.Labels, nil), alarms})
	m.registry.MustRegister(m.ejections, m.denied, m.events.seen, m.events.dropped, m.jobs.runs, m.jobs.duration, m.jobs.succeeded)
	m.registry.MustRegister(process()...)
	return m
}

// label returns the value of the label for an outcome; "" is success.
func label(outcome fault.Reason) string {
	switch {
	case outcome == "":
		return OK
	case outcome.Known():
		return string(outcome)
	}
	return Other
}

// Requests returns a function that counts the requests of one procedure. Call
// that function with the reason of a failure, or "" for success; it costs one
// atomic addition. Call Requests once for each procedure that is served, for
// example "/ruedo.v1.ModuleService/UploadModule", and once for "", which stands
// for all others. The label is the name without its package.
func (m *Metrics) Requests(procedure string) func(outcome fault.Reason) {
	name := procedure[strings.LastIndexByte(procedure, '.')+1:]
	if name == "" {
		name = Other
	}
	of := m.requests.MustCurryWith(prometheus.Labels{"procedure": name})
	ok := of.WithLabelValues(OK)
	return func(outcome fault.Reason) {
		if outcome == "" {
			ok.Inc()
			return
		}
		of.WithLabelValues(label(outcome)).Inc()
	}
}

// WatchStuck exports how often the watch of the store made no progress. stuck is
// called when the metrics are read. Call WatchStuck at most once.
func (m *Metrics) WatchStuck(stuck func() uint64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: watchStuck.Name, Help: watchStuck.Help}, func() float64 { return float64(stuck()) }))
}

// Panic counts a handler that panicked.
func (m *Metrics) Panic() { m.panics.Inc() }

// Denied counts a request that was refused because of who sent it.
func (m *Metrics) Denied(reason fault.Reason) { m.denied.WithLabelValues(label(reason)).Inc() }
