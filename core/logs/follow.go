package logs

import (
	"context"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// arrival is what one source has read.
type arrival struct {
	entries []*ruedov1.LogEntry
	gaps    []*ruedov1.LogGap
}

// follow sends what comes, until the caller is gone, the core goes down or the
// time of a stream is over.
func (s *stream) follow(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	arrived := make(chan arrival)
	start := func(src *source) {
		if src != nil && !src.ended {
			readers.Go(func() { s.tail(inner, src, arrived) })
		}
	}
	for _, src := range s.sources {
		start(src)
	}
	over := time.NewTimer(MaxFollow)
	defer over.Stop()
	members := time.NewTicker(look)
	defer members.Stop()
	flush := time.NewTimer(0)
	<-flush.C
	var held arrival
	bytes := 0
	for {
		select {
		case a := <-arrived:
			if len(held.entries) == 0 && len(held.gaps) == 0 {
				flush.Reset(window)
			}
			held.entries, held.gaps = append(held.entries, a.entries...), append(held.gaps, a.gaps...)
			for _, e := range a.entries {
				bytes += len(e.GetText())
				s.read[e.GetRunner()] = nanos(e)
			}
			if bytes > batch {
				flush.Reset(0)
			}
		case <-flush.C:
			sortByTime(held.entries)
			if err := s.write(held.entries, held.gaps); err != nil {
				return err
			}
			held, bytes = arrival{}, 0
		case <-members.C:
			s.attached(start)
		case <-over.C:
			sortByTime(held.entries)
			return s.write(held.entries, held.gaps)
		case <-ctx.Done():
			return ctx.Err()
		case <-s.cfg.Done:
			return errDown
		}
	}
}

// attached starts to read runners that have attached, and forgets those that
// are gone.
func (s *stream) attached(start func(*source)) {
	now := make(map[dispatch.Member]bool)
	for _, m := range s.cfg.Runners() {
		now[m] = true
		if m.Ready() {
			start(s.add(m))
		}
	}
	for m := range s.sources {
		if !now[m] {
			delete(s.sources, m)
		}
	}
}

// tail reads one source until it ends.
func (s *stream) tail(ctx context.Context, src *source, arrived chan<- arrival) {
	for !src.ended {
		src.read(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		a := arrival{entries: src.page, gaps: s.gaps([]*source{src})}
		src.page = nil
		if len(a.entries) == 0 && len(a.gaps) == 0 {
			continue
		}
		select {
		case arrived <- a:
		case <-ctx.Done():
			return
		}
	}
}
