package pristine

import (
	"slices"
	"testing"
)

func TestHotSetCut(t *testing.T) {
	for _, c := range []struct {
		at    int
		want  []span
		bytes int
		end   int
	}{
		{at: 100, want: []span{{0, 10, false}, {10, 20, true}, {30, 60, true}}, bytes: 50, end: 60},
		{at: 60, want: []span{{0, 10, false}, {10, 20, true}, {30, 60, true}}, bytes: 50, end: 60},
		{at: 40, want: []span{{0, 10, false}, {10, 20, true}, {30, 40, true}}, bytes: 30, end: 40},
		{at: 30, want: []span{{0, 10, false}, {10, 20, true}}, bytes: 20, end: 20},
		{at: 5, want: []span{{0, 5, false}}, bytes: 5, end: 5},
		{at: 0},
	} {
		var h hotSet
		h.add(0, 10, false)
		h.add(10, 20, true)
		h.add(30, 40, true) // the last zeros of an image ...
		h.add(40, 60, true) // ... and what is behind it form one span
		h.cut(c.at)
		if !slices.Equal(h.spans, c.want) || h.bytes != c.bytes || h.end() != c.end {
			t.Errorf("cut at %d: %v, %d bytes, end %d", c.at, h.spans, h.bytes, h.end())
		}
	}
}
