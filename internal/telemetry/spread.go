package telemetry

import (
	"math"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// maxBounds is how many bounds a histogram of services has at most.
const maxBounds = 10

// spread is a histogram whose samples share its description and its bounds.
type spread struct {
	desc   *prometheus.Desc
	per    float64 // how many values make one unit of the metric
	bounds []float64
	limits [maxBounds]int64 // the bounds as values
}

// sample is the values of one service. The zero sample has none.
type sample struct {
	sum     atomic.Uint64
	buckets [maxBounds + 1]atomic.Uint64 // the one after the bounds is for all above
}

// newSpread returns a histogram of values of which per make one unit of the metric.
func newSpread(m Metric, per int64) spread {
	s := spread{desc: m.desc(), per: float64(per), bounds: m.buckets}
	for i, b := range s.bounds {
		s.limits[i] = int64(math.Round(b * float64(per)))
	}
	return s
}

// observe counts a value; a negative one counts as none.
func (s *spread) observe(to *sample, value int64) {
	value = max(value, 0)
	i := 0
	for i < len(s.bounds) && value > s.limits[i] {
		i++
	}
	to.sum.Add(uint64(value))
	to.buckets[i].Add(1)
}

// collect returns the metric of a service. It reports whether there is one.
func (s *spread) collect(to chan<- prometheus.Metric, from *sample, service string) bool {
	count := uint64(0)
	upTo := make(map[float64]uint64, len(s.bounds))
	for i, bound := range s.bounds {
		count += from.buckets[i].Load()
		upTo[bound] = count
	}
	if count += from.buckets[len(s.bounds)].Load(); count == 0 {
		return false
	}
	to <- prometheus.MustNewConstHistogram(s.desc, count, float64(from.sum.Load())/s.per, upTo, service)
	return true
}
