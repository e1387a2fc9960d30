package telemetry

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// maxReading bounds how many read the metrics at the same time.
const maxReading = 4

// Handler returns a handler that serves all metrics in the Prometheus text format.
// visible returns which services the request of a context may read: those of others
// are left out.
func (m *Metrics) Handler(visible func(context.Context) func(service string) bool) http.Handler {
	reading := make(chan struct{}, maxReading)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case reading <- struct{}{}:
			defer func() { <-reading }()
		default:
			http.Error(w, "too many read the metrics", http.StatusServiceUnavailable)
			return
		}
		of := gatherer{m.registry, visible(r.Context())}
		promhttp.HandlerFor(of, promhttp.HandlerOpts{Timeout: 5 * time.Second}).ServeHTTP(w, r)
	})
}

// gatherer gathers what is of no service, or of one that is visible.
type gatherer struct {
	all     prometheus.Gatherer
	visible func(service string) bool
}

// Gather returns the metrics.
func (g gatherer) Gather() ([]*dto.MetricFamily, error) {
	families, err := g.all.Gather()
	for _, f := range families {
		f.Metric = slices.DeleteFunc(f.Metric, func(m *dto.Metric) bool {
			return slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == ofService[0] && !g.visible(l.GetValue()) })
		})
	}
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return len(f.GetMetric()) == 0 }), err
}
