package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// succeeded are the metrics of services of which a call has succeeded on a runner.
// Finding each by its labels would cost a call several look-ups in tables of all
// services.
type succeeded struct {
	by sync.Map // name -> *service

	mu sync.Mutex // held while a service is added or forgotten
}

// service are the metrics that such calls have.
type service struct {
	ok, cpu, fuel    prometheus.Counter
	duration, memory prometheus.Observer
	restore          func() prometheus.Observer // made on first use: not all have it
}

func (m *Metrics) service(name string) *service {
	if s, ok := m.succeeded.by.Load(name); ok {
		return s.(*service)
	}
	m.succeeded.mu.Lock()
	defer m.succeeded.mu.Unlock()
	s := &service{
		ok: m.calls.WithLabelValues(name, OK), duration: m.duration.WithLabelValues(name),
		cpu: m.cpu.WithLabelValues(name), fuel: m.fuel.WithLabelValues(name), memory: m.memory.WithLabelValues(name),
		restore: sync.OnceValue(func() prometheus.Observer { return m.restore.WithLabelValues(name) }),
	}
	m.succeeded.by.Store(name, s)
	return s
}

// Call counts one call of a service that exists. outcome is the reason of its
// failure, or "". info can be nil or empty if the call did not reach a runner.
func (m *Metrics) Call(name string, outcome fault.Reason, took time.Duration, info *ruedov1.CallInfo) {
	if outcome == "" && info.GetRunner() != "" {
		s := m.service(name)
		s.ok.Inc()
		s.duration.Observe(took.Seconds())
		m.used(name, info, s)
		return
	}
	m.calls.WithLabelValues(name, label(outcome)).Inc()
	m.duration.WithLabelValues(name).Observe(took.Seconds())
	if info.GetRunner() != "" {
		m.used(name, info, &service{
			cpu: m.cpu.WithLabelValues(name), fuel: m.fuel.WithLabelValues(name), memory: m.memory.WithLabelValues(name),
			restore: func() prometheus.Observer { return m.restore.WithLabelValues(name) },
		})
	}
}

// used counts what a call has used on a runner.
func (m *Metrics) used(name string, info *ruedov1.CallInfo, s *service) {
	if info.GetCold() {
		m.cold.WithLabelValues(name).Inc()
	}
	s.cpu.Add(max(0, info.GetCpuTime().AsDuration().Seconds())) // a counter panics on negative values
	s.fuel.Add(float64(info.GetFuel()))
	s.memory.Observe(float64(info.GetMemoryBytes()))
	if e := info.GetEgress(); e != nil {
		m.egress(name, e)
	}
	if r := info.GetRestoreTime().AsDuration(); r > 0 {
		s.restore().Observe(r.Seconds())
	}
}

// egress counts what a call has used of the network.
func (m *Metrics) egress(name string, e *ruedov1.Egress) {
	add := func(to *prometheus.CounterVec, label string, n uint64) {
		if n > 0 {
			to.WithLabelValues(name, label).Add(float64(n))
		}
	}
	all, wrong := uint64(e.GetStreams()), uint64(e.GetBlocked())+uint64(e.GetFailed())+uint64(e.GetLimited())
	add(m.egressStreams, OK, all-min(wrong, all))
	add(m.egressStreams, string(fault.EgressBlocked), uint64(e.GetBlocked()))
	add(m.egressStreams, string(fault.EgressFailed), uint64(e.GetFailed()))
	add(m.egressStreams, string(fault.EgressLimit), uint64(e.GetLimited()))
	add(m.egressBytes, "sent", e.GetSentBytes())
	add(m.egressBytes, "received", e.GetReceivedBytes())
}

// Forget drops the counts of a service that no longer exists, so that names
// that come and go do not fill the memory.
func (m *Metrics) Forget(name string) {
	m.succeeded.mu.Lock()
	defer m.succeeded.mu.Unlock()
	by := prometheus.Labels{"service": name}
	for _, v := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.calls, m.cold, m.duration, m.cpu, m.fuel, m.memory, m.restore, m.egressStreams, m.egressBytes} {
		v.DeletePartialMatch(by)
	}
	m.succeeded.by.Delete(name)
}
