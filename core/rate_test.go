package core

import (
	"testing"
	"time"
)

func TestCallsPerSecond(t *testing.T) {
	r := &callRate{}
	start := time.Now()
	for second, want := range []float64{0, 5, 7.5, 5, 4, 3, 2.5, 2, 2, 1.5, 1.5, 1, 0, 0} {
		switch second {
		case 1:
			r.total.Add(5)
		case 2:
			r.total.Add(10)
		}
		r.mark(start.Add(time.Duration(second) * time.Second))
		if got := r.perSecond(); got < want-0.5 || got > want+0.5 {
			t.Errorf("after %d s: %v calls per second, want about %v", second, got, want)
		}
	}
	if len(r.marks) != rateWindow+1 {
		t.Errorf("%d marks are kept", len(r.marks))
	}
}
