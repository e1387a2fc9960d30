package telemetry

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
)

// Metric describes a metric.
type Metric struct {
	Name string
	// Type is counter, gauge, histogram or summary.
	Type   string
	Labels []string
	// Help says what is measured.
	Help string

	buckets []float64
}

var (
	ofService = []string{"service"}
	ofJob     = []string{"job"}

	calls = Metric{
		Name: "ruedo_calls_total", Type: "counter", Labels: []string{"service", "outcome"},
		Help: "Calls answered, by outcome: ok, or the reason of the failure. A command that answers with an exit code counts as GUEST_EXIT.",
	}
	requests = Metric{
		Name: "ruedo_requests_total", Type: "counter", Labels: []string{"procedure", "outcome"},
		Help: "Requests answered, by procedure and outcome: ok, or the reason of the failure. Requests that were refused before there was a call count, too.",
	}
	cold = Metric{
		Name: "ruedo_calls_cold_total", Type: "counter", Labels: ofService,
		Help: "Calls that waited for a new instance.",
	}
	duration = Metric{
		Name: "ruedo_call_duration_seconds", Type: "histogram", Labels: ofService,
		Help:    "Time that a call took, as its caller saw it at the core.",
		buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
	}
	cpu = Metric{
		Name: "ruedo_call_cpu_seconds_total", Type: "counter", Labels: ofService,
		Help: "Processor time that guests used.",
	}
	fuel = Metric{
		Name: "ruedo_call_fuel_total", Type: "counter", Labels: ofService,
		Help: "Work that guests did, in units that do not depend on the machine.",
	}
	memory = Metric{
		Name: "ruedo_call_memory_bytes", Type: "histogram", Labels: ofService,
		Help:    "Most memory that a guest had during a call.",
		buckets: prometheus.ExponentialBuckets(1<<20, 4, 7),
	}
	restore = Metric{
		Name: "ruedo_call_restore_seconds", Type: "histogram", Labels: ofService,
		Help:    "Time that it took to put an instance back after a call.",
		buckets: prometheus.ExponentialBuckets(0.0000005, 4, 10),
	}
	egressStreams = Metric{
		Name: "ruedo_egress_streams_total", Type: "counter", Labels: []string{"service", "outcome"},
		Help: "Requests and connections that services asked for, by outcome: ok, EGRESS_BLOCKED (not granted), EGRESS_FAILED (not reached, or broken off) or EGRESS_LIMIT.",
	}
	egressBytes = Metric{
		Name: "ruedo_egress_bytes_total", Type: "counter", Labels: []string{"service", "direction"},
		Help: "Bytes that services moved over the network, by direction: sent or received.",
	}
	denied = Metric{
		Name: "ruedo_denied_total", Type: "counter", Labels: []string{"reason"},
		Help: "Requests that were refused because of who sent them, by reason. PERMISSION_DENIED includes those that were told that something does not exist.",
	}
	panics = Metric{
		Name: "ruedo_panics_total", Type: "counter",
		Help: "Requests whose handler panicked: each is a bug, and has its stack in the log.",
	}
	runnersReady = Metric{
		Name: "ruedo_runners_ready", Type: "gauge",
		Help: "Runners that take calls of this core.",
	}
	runnersEjected = Metric{
		Name: "ruedo_runners_ejected", Type: "gauge",
		Help: "Attached runners that get no calls of this core for a while, because they failed.",
	}
	runnersCordoned = Metric{
		Name: "ruedo_runners_cordoned", Type: "gauge",
		Help: "Runners of the cluster that operators have taken out of service.",
	}
	runnerEjections = Metric{
		Name: "ruedo_runner_ejections_total", Type: "counter", Labels: []string{"cause"},
		Help: "Times that this core has ejected a runner, by cause: unanswered, faults or lost.",
	}
	alarmsRaised = Metric{
		Name: "ruedo_alarms", Type: "gauge", Labels: []string{"reason"},
		Help: "Alarms of the store, by reason; a healthy store has none.",
	}
	watchStuck = Metric{
		Name: "ruedo_store_watch_stuck_total", Type: "counter",
		Help: "Times that the watch of the store stopped reporting changes without an error, and the core read everything again.",
	}
	leads = Metric{
		Name: "ruedo_leader", Type: "gauge",
		Help: "1 if this core leads the cluster, 0 if it does not.",
	}
	jobRuns = Metric{
		Name: "ruedo_job_runs_total", Type: "counter", Labels: []string{"job", "outcome"},
		Help: "Runs of the leader's jobs on this core, by outcome: ok, or the reason of the failure.",
	}
	jobDuration = Metric{
		Name: "ruedo_job_duration_seconds", Type: "gauge", Labels: ofJob,
		Help: "Time that the last run of a job on this core took.",
	}
	runnersAttached = Metric{
		Name: "ruedo_runners_attached", Type: "gauge",
		Help: "Runners that are attached to this core, those that drain included.",
	}
	runnerCalls = Metric{
		Name: "ruedo_runner_calls", Type: "gauge",
		Help: "Calls of this core that are in flight on its runners.",
	}
	runnerStreams = Metric{
		Name: "ruedo_runner_streams", Type: "gauge",
		Help: "Calls of kind http among them, which mostly wait.",
	}
	runnerPlans = Metric{
		Name: "ruedo_runner_plans", Type: "gauge",
		Help: "Plans that the attached runners hold ready, all together.",
	}
	runnerMemory = Metric{
		Name: "ruedo_runner_plan_memory_bytes", Type: "gauge",
		Help: "Memory that these plans take, about.",
	}
	storeLatency = Metric{
		Name: "ruedo_store_latency_seconds", Type: "gauge",
		Help: "Time that the store took to answer the last time: a read through its quorum, once a second.",
	}
	storeAge = Metric{
		Name: "ruedo_store_age_seconds", Type: "gauge",
		Help: "Time since the store last answered. From 3 s on, calls continue from memory.",
	}
	mirrorLag = Metric{
		Name: "ruedo_mirror_lag_seconds", Type: "gauge",
		Help: "Time for which this core's memory has been behind the store; 0 if it is up to date.",
	}
	mirrorRevisions = Metric{
		Name: "ruedo_mirror_lag_revisions", Type: "gauge",
		Help: "Revisions of the store that this core's memory lacks.",
	}
	memberSize = Metric{
		Name: "ruedo_member_size_bytes", Type: "gauge",
		Help: "Size of the database of the member of the store in this core's process. Absent if there is none.",
	}
	memberUsed = Metric{
		Name: "ruedo_member_used_bytes", Type: "gauge",
		Help: "What of it is in use.",
	}
	memberQuota = Metric{
		Name: "ruedo_member_quota_bytes", Type: "gauge",
		Help: "What it can have at most.",
	}
	memberProblems = Metric{
		Name: "ruedo_member_problems", Type: "gauge",
		Help: "How many things are wrong with that member; ruedo_alarms has them by reason.",
	}
	events = Metric{
		Name: "ruedo_events_total", Type: "counter", Labels: []string{"kind"},
		Help: "Events that this core has seen, by kind: for example runner_lost, leader_elected.",
	}
	eventsDropped = Metric{
		Name: "ruedo_events_dropped_total", Type: "counter",
		Help: "Events that this core has not recorded, because too many different ones waited to be written.",
	}
	jobSuccess = Metric{
		Name: "ruedo_job_last_success_timestamp_seconds", Type: "gauge", Labels: ofJob,
		Help: "When a job last succeeded on this core, as seconds since 1970.",
	}
)

// Table describes the metrics of a core.
func Table() []Metric {
	return []Metric{
		calls, cold, duration, cpu, fuel, memory, restore, egressStreams, egressBytes, requests,
		runnersReady, runnersAttached, runnersEjected, runnersCordoned, runnerEjections, runnerCalls, runnerStreams, runnerPlans, runnerMemory,
		storeLatency, storeAge, mirrorLag, mirrorRevisions, watchStuck, memberSize, memberUsed, memberQuota, memberProblems, alarmsRaised,
		leads, jobRuns, jobDuration, jobSuccess, events, eventsDropped, denied, panics,
	}
}

func counters(m Metric) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

func (m Metric) desc() *prometheus.Desc {
	return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
}

func gauges(m Metric) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

// process returns the collectors of what every program written in Go has.
func process() []prometheus.Collector {
	return []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
}

// Process describes the metrics that a core has because it is a program written in
// Go. They depend on the system and on the version of Go.
func Process() ([]Metric, error) {
	r := prometheus.NewRegistry()
	r.MustRegister(process()...)
	families, err := r.Gather()
	if err != nil {
		return nil, err
	}
	var list []Metric
	for _, f := range families {
		m := Metric{Name: f.GetName(), Type: strings.ToLower(f.GetType().String()), Help: f.GetHelp()}
		for _, l := range f.GetMetric()[0].GetLabel() {
			m.Labels = append(m.Labels, l.GetName())
		}
		if f.GetType() == dto.MetricType_SUMMARY {
			m.Labels = append(m.Labels, "quantile")
		}
		list = append(list, m)
	}
	return list, nil
}

// Unit returns the unit of the metric's values, which its name ends in; "" if it
// counts things.
func (m Metric) Unit() string {
	words := strings.Split(strings.TrimSuffix(m.Name, "_total"), "_")
	unit := words[len(words)-1]
	if slices.Contains([]string{"seconds", "bytes", "percent"}, unit) {
		return unit
	}
	return ""
}
