package telemetry

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// services counts the calls of each service. It is a collector of its own, because one
// counter of the library takes as much memory as all of a service take here: with
// thousands of services, what a call costs is the memory that it touches.
type services struct {
	by sync.Map // name -> *Service

	calls, cpu, fuel          *prometheus.Desc
	duration, memory, restore spread
}

func newServices() *services {
	return &services{
		calls: calls.desc(), cpu: cpu.desc(), fuel: fuel.desc(),
		duration: newSpread(duration, int64(time.Second)), memory: newSpread(memory, 1), restore: newSpread(restore, int64(time.Second)),
	}
}

// Service counts the calls of one service. Its method can be called from many goroutines.
// What each call changes comes first.
type Service struct {
	metrics  *Metrics
	gone     atomic.Bool   // it was forgotten
	ok       atomic.Uint64 // calls that succeeded
	cpu      atomic.Uint64 // ns
	fuel     atomic.Uint64
	duration sample
	memory   sample
	restore  sample
	failed   sync.Map // outcome -> *atomic.Uint64
	name     string
}

// Service returns what counts the calls of a service that exists. Keep it: with thousands
// of services, looking it up costs more than counting.
func (m *Metrics) Service(name string) *Service {
	if one, ok := m.services.by.Load(name); ok {
		return one.(*Service)
	}
	one, _ := m.services.by.LoadOrStore(name, &Service{metrics: m, name: name})
	return one.(*Service)
}

// count counts a call by its outcome.
func (s *Service) count(outcome fault.Reason) {
	if outcome == "" {
		s.ok.Add(1)
		return
	}
	key := label(outcome)
	n, ok := s.failed.Load(key)
	if !ok {
		n, _ = s.failed.LoadOrStore(key, new(atomic.Uint64))
	}
	n.(*atomic.Uint64).Add(1)
}

// Describe describes the metrics.
func (s *services) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.calls, s.cpu, s.fuel, s.duration.desc, s.memory.desc, s.restore.desc} {
		to <- d
	}
}

// Collect returns the metrics of all services.
func (s *services) Collect(to chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	s.by.Range(func(key, value any) bool {
		name, one := key.(string), value.(*Service)
		if n := one.ok.Load(); n > 0 {
			counter(s.calls, float64(n), name, OK)
		}
		one.failed.Range(func(outcome, n any) bool {
			counter(s.calls, float64(n.(*atomic.Uint64).Load()), name, outcome.(string))
			return true
		})
		s.duration.collect(to, &one.duration, name)
		if s.memory.collect(to, &one.memory, name) { // a runner has executed it
			counter(s.cpu, time.Duration(one.cpu.Load()).Seconds(), name)
			counter(s.fuel, float64(one.fuel.Load()), name)
		}
		s.restore.collect(to, &one.restore, name)
		return true
	})
}

// Call counts one call. outcome is the reason of its failure, or "". info can be nil or
// empty if the call did not reach a runner.
func (s *Service) Call(outcome fault.Reason, took time.Duration, info *ruedov1.CallInfo) {
	m := s.metrics
	if s.gone.Load() {
		return
	}
	s.count(outcome)
	m.services.duration.observe(&s.duration, int64(took))
	if info.GetRunner() == "" {
		return
	}
	if info.GetCold() {
		m.cold.WithLabelValues(s.name).Inc()
		s.forgotten()
	}
	s.cpu.Add(uint64(max(0, info.GetCpuTime().AsDuration())))
	s.fuel.Add(info.GetFuel())
	m.services.memory.observe(&s.memory, int64(min(info.GetMemoryBytes(), math.MaxInt64)))
	if e := info.GetEgress(); e != nil {
		m.egress(s.name, e)
		s.forgotten()
	}
	if r := info.GetRestoreTime().AsDuration(); r > 0 {
		m.services.restore.observe(&s.restore, int64(r))
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
// that come and go do not fill the memory. Calls that are in flight count for nobody
// then; if the name comes back, it has another [Service].
func (m *Metrics) Forget(name string) {
	if one, ok := m.services.by.LoadAndDelete(name); ok {
		one.(*Service).gone.Store(true)
	}
	m.forget(name)
}

// forgotten drops again what a call has just counted under the name of a service that was
// forgotten meanwhile.
func (s *Service) forgotten() {
	if s.gone.Load() {
		s.metrics.forget(s.name)
	}
}

// forget drops what counters of the library have of a service.
func (m *Metrics) forget(name string) {
	by := prometheus.Labels{"service": name}
	for _, v := range []*prometheus.CounterVec{m.cold, m.egressStreams, m.egressBytes} {
		v.DeletePartialMatch(by)
	}
}
