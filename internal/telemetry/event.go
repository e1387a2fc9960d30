package telemetry

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// eventMetrics are about what this core has recorded.
type eventMetrics struct {
	seen    *prometheus.CounterVec
	dropped prometheus.Counter
}

func newEventMetrics() eventMetrics {
	return eventMetrics{counters(events), prometheus.NewCounter(prometheus.CounterOpts{Name: eventsDropped.Name, Help: eventsDropped.Help})}
}

// Event counts something that has happened, and whether there was room to record
// it.
func (m *Metrics) Event(kind ruedov1.EventKind, kept bool) {
	word := strings.ToLower(strings.TrimPrefix(kind.String(), "EVENT_KIND_"))
	m.events.seen.WithLabelValues(word).Inc()
	if !kept {
		m.events.dropped.Inc()
	}
}
