package exchange

import (
	"sync"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// open counts the exchanges that are open.
type open struct {
	limit int

	mu        sync.Mutex
	all       int
	byService map[string]int
}

// PerService returns how many exchanges one service can have open, of a limit for all.
func PerService(limit int) int { return max(1, limit/4*3) }

// enter counts one exchange of a service, or returns STREAMS_FULL. Call leave when
// it is over.
func (o *open) enter(service string) error {
	perService := PerService(o.limit)
	o.mu.Lock()
	all, own := o.all, o.byService[service]
	full := all >= o.limit || own >= perService
	if !full {
		o.all++
		o.byService[service]++
	}
	o.mu.Unlock()
	switch {
	case !full:
		return nil
	case all >= o.limit:
		return streamsFull("%d requests to services are open on this core, the limit", all).With("limit", o.limit)
	}
	return streamsFull("%d requests to service %s are open on this core, the limit for one service", own, service).With("limit", perService)
}

func streamsFull(format string, args ...any) *fault.Error {
	e := fault.New(fault.StreamsFull, format, args...).WithFix("send it again later, or to another core")
	e.NotStarted = true
	return e
}

func (o *open) leave(service string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all--
	if o.byService[service]--; o.byService[service] == 0 {
		delete(o.byService, service)
	}
}
