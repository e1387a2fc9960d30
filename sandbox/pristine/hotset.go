package pristine

// hotSet holds the private pages of a memory, in ascending order.
type hotSet struct {
	spans []span
	bytes int
}

// span is a run of adjacent pages, as offsets.
type span struct {
	start, end int
	zero       bool // in the image
}

func (h *hotSet) reset() { h.spans, h.bytes = h.spans[:0], 0 }

// add appends pages that follow all others.
func (h *hotSet) add(start, end int, zero bool) {
	h.bytes += end - start
	if n := len(h.spans); n > 0 && h.spans[n-1].end == start && h.spans[n-1].zero == zero {
		h.spans[n-1].end = end
		return
	}
	h.spans = append(h.spans, span{start, end, zero})
}

// cut removes everything from offset at on.
func (h *hotSet) cut(at int) {
	for n := len(h.spans) - 1; n >= 0 && h.spans[n].end > at; n-- {
		s := &h.spans[n]
		if s.start < at {
			h.bytes -= s.end - at
			s.end = at
			return
		}
		h.bytes -= s.end - s.start
		h.spans = h.spans[:n]
	}
}

// end returns the offset after the last page.
func (h *hotSet) end() int {
	if len(h.spans) == 0 {
		return 0
	}
	return h.spans[len(h.spans)-1].end
}

// restore writes the image's bytes to all pages of the set.
func (h *hotSet) restore(space, image []byte) {
	for _, s := range h.spans {
		if s.zero {
			clear(space[s.start:s.end])
		} else {
			copy(space[s.start:s.end], image[s.start:s.end])
		}
	}
}
