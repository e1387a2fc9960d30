package local

import (
	"fmt"
	"sync"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
)

func TestCallsInThisProcessAreListed(t *testing.T) {
	var s slots
	var taken []*slot
	for i := range 10 * maxSlots {
		taken = append(taken, s.take(t.Context(), &runnerv1.ExecuteRequest{CallId: fmt.Sprint(i)}))
	}
	if n := len(s.inFlight(10 * maxSlots)); n != maxSlots {
		t.Errorf("%d calls are listed", n)
	}
	if n := len(s.inFlight(7)); n != 7 {
		t.Errorf("%d calls are listed, of 7", n)
	}
	for _, slot := range taken {
		slot.free()
	}
	if left := s.inFlight(maxSlots); len(left) != 0 {
		t.Errorf("%v", left)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				slot := s.take(t.Context(), &runnerv1.ExecuteRequest{Service: "a"})
				for _, call := range s.inFlight(3) {
					if call.Service != "a" || call.Context == nil {
						t.Errorf("%v", call)
					}
				}
				slot.free()
			}
		})
	}
	wg.Wait()
}

func BenchmarkListingACall(b *testing.B) {
	var s slots
	req := &runnerv1.ExecuteRequest{}
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.take(ctx, req).free()
		}
	})
}
