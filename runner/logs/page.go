package logs

import (
	"cmp"
	"slices"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// page appends the entries that match the query, until the page is full.
func (s *service) page(q Query, p *Page) {
	p.Gap = p.Gap || q.After > 0 && s.gone > q.After
	from, _ := slices.BinarySearchFunc(s.entries, q.After+1, func(e *ruedov1.LogEntry, t int64) int { return cmp.Compare(nanos(e), t) })
	bytes := 0
	for _, e := range s.entries[from:] {
		if q.Call != "" && e.CallId != q.Call {
			continue
		}
		if bytes > pageBytes {
			p.More = true
			return
		}
		p.Entries = append(p.Entries, e)
		bytes += size(e)
	}
}

func sortByTime(entries []*ruedov1.LogEntry) {
	slices.SortFunc(entries, func(a, b *ruedov1.LogEntry) int { return cmp.Compare(nanos(a), nanos(b)) })
}
