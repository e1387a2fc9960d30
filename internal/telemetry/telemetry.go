// Package telemetry counts what the program does, for Prometheus.
//
// Make one [Metrics] per core with [New], hand it to whoever sees calls, and
// mount [Metrics.Handler]. There is no global registry: two cores in one process
// count apart.
//
// Every call is counted once, by the core that answered it, under the name of
// its service and its outcome: "ok", or the reason of its failure. What it used
// (processor time, memory, fuel, the price of restoring its instance) is what
// its runner measured.
package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// OK is the outcome of a call that succeeded.
const OK = "ok"

// Metrics are the counters of one core. All methods may be called from many
// goroutines at once.
type Metrics struct {
	registry *prometheus.Registry

	calls    *prometheus.CounterVec
	cold     *prometheus.CounterVec
	duration *prometheus.HistogramVec
	cpu      *prometheus.CounterVec
	fuel     *prometheus.CounterVec
	memory   *prometheus.HistogramVec
	restore  *prometheus.HistogramVec
}

// New makes the counters. runners tells how many runners are ready, and is asked
// when the metrics are read.
func New(runners func() int) *Metrics {
	byService := []string{"service"}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ruedo_calls_total", Help: "Calls answered, by outcome: ok, or the reason of the failure.",
		}, []string{"service", "outcome"}),
		cold: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ruedo_calls_cold_total", Help: "Calls that waited for a new instance.",
		}, byService),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ruedo_call_duration_seconds", Help: "Time that a call took, as its caller saw it at the core.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		}, byService),
		cpu: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ruedo_call_cpu_seconds_total", Help: "Processor time that guests used.",
		}, byService),
		fuel: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ruedo_call_fuel_total", Help: "Work that guests did, in units that do not depend on the machine.",
		}, byService),
		memory: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ruedo_call_memory_bytes", Help: "Most memory that a guest had during a call.",
			Buckets: prometheus.ExponentialBuckets(1<<20, 4, 7),
		}, byService),
		restore: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ruedo_call_restore_seconds", Help: "Time that it took to put an instance back after a call.",
			Buckets: prometheus.ExponentialBuckets(0.0000005, 4, 10),
		}, byService),
	}
	m.registry.MustRegister(m.calls, m.cold, m.duration, m.cpu, m.fuel, m.memory, m.restore,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ruedo_runners_ready", Help: "Runners that take calls of this core."},
			func() float64 { return float64(runners()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Call counts one call of a service that exists. info may be nil or empty, where
// the call did not reach a runner.
func (m *Metrics) Call(service, outcome string, took time.Duration, info *ruedov1.CallInfo) {
	m.calls.WithLabelValues(service, outcome).Inc()
	m.duration.WithLabelValues(service).Observe(took.Seconds())
	if info.GetRunner() == "" {
		return
	}
	if info.GetCold() {
		m.cold.WithLabelValues(service).Inc()
	}
	m.cpu.WithLabelValues(service).Add(info.GetCpuTime().AsDuration().Seconds())
	m.fuel.WithLabelValues(service).Add(float64(info.GetFuel()))
	m.memory.WithLabelValues(service).Observe(float64(info.GetMemoryBytes()))
	if r := info.GetRestoreTime().AsDuration(); r > 0 {
		m.restore.WithLabelValues(service).Observe(r.Seconds())
	}
}

// Forget drops what was counted for a service that is no more, so that names
// which come and go do not fill the memory.
func (m *Metrics) Forget(service string) {
	by := prometheus.Labels{"service": service}
	for _, v := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.calls, m.cold, m.duration, m.cpu, m.fuel, m.memory, m.restore} {
		v.DeletePartialMatch(by)
	}
}

// Handler answers with all metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 5 * time.Second})
}
