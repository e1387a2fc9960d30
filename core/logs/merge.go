package logs

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// past sends what the runners have now, in order of time.
func (s *stream) past(ctx context.Context) error {
	var sources []*source
	for _, m := range s.cfg.Runners() {
		if m.Ready() {
			sources = append(sources, s.add(m))
		}
	}
	readAll(ctx, sources)
	gaps := s.gaps(sources)
	for _, id := range s.cfg.Absent() {
		gaps = append(gaps, &ruedov1.LogGap{Runner: id, Message: "it is not attached to this core"})
	}
	if err := s.write(nil, gaps); err != nil {
		return err
	}
	var out []*ruedov1.LogEntry
	bytes := 0
	for {
		src := earliest(sources)
		if src == nil {
			return s.write(out, nil)
		}
		e := src.page[0]
		src.page = src.page[1:]
		s.read[src.id] = nanos(e)
		out, bytes = append(out, e), bytes+len(e.GetText())
		if len(src.page) == 0 && src.more {
			src.read(ctx, 0)
			gaps = s.gaps([]*source{src})
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if bytes > batch || len(gaps) > 0 {
			if err := s.write(out, gaps); err != nil {
				return err
			}
			out, bytes, gaps = nil, 0, nil
		}
	}
}

// readAll reads the first page of each source.
func readAll(ctx context.Context, sources []*source) {
	var all errgroup.Group // its functions return nil: a source keeps its own failure
	all.SetLimit(maxParallel)
	for _, src := range sources {
		if !src.ended {
			all.Go(func() error {
				src.read(ctx, 0)
				return nil
			})
		}
	}
	_ = all.Wait()
}

// earliest returns the source whose next entry is the oldest; nil if none has
// one.
func earliest(sources []*source) (first *source) {
	for _, src := range sources {
		if len(src.page) > 0 && (first == nil || nanos(src.page[0]) < nanos(first.page[0])) {
			first = src
		}
	}
	return first
}

// gaps returns what is to be reported of the sources, once.
func (s *stream) gaps(sources []*source) (gaps []*ruedov1.LogGap) {
	for _, src := range sources {
		if src.gap != "" {
			gaps = append(gaps, &ruedov1.LogGap{Runner: src.id, Message: src.gap})
			src.gap = ""
		}
	}
	return gaps
}

// write sends a message, unless it is empty.
func (s *stream) write(entries []*ruedov1.LogEntry, gaps []*ruedov1.LogGap) error {
	if len(entries) == 0 && len(gaps) == 0 {
		return nil
	}
	s.sent += len(entries)
	return s.send(&ruedov1.ReadLogsResponse{Entries: entries, Gaps: gaps})
}

func sortByTime(entries []*ruedov1.LogEntry) {
	slices.SortStableFunc(entries, func(a, b *ruedov1.LogEntry) int { return cmp.Compare(nanos(a), nanos(b)) })
}
