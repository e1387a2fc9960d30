package local

import (
	"context"
	"sync"
	"sync/atomic"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
)

// maxSlots is how many calls in this process are listed.
const maxSlots = 256

// slots list calls that are in flight in this process, without a map and without
// allocating for a call. While most slots are taken, a call may find none and is
// not listed.
type slots struct {
	next atomic.Uint32
	all  [maxSlots]slot
}

type slot struct {
	mu  sync.Mutex
	req *runnerv1.ExecuteRequest // nil if the slot is free
	ctx context.Context
	_   [32]byte // a cache line each
}

// take lists a call, and returns its slot, nil if it found none.
func (s *slots) take(ctx context.Context, req *runnerv1.ExecuteRequest) *slot {
	n := s.next.Add(1)
	for i := range uint32(4) {
		slot := &s.all[(n+i)%maxSlots]
		slot.mu.Lock()
		free := slot.req == nil
		if free {
			slot.req, slot.ctx = req, ctx
		}
		slot.mu.Unlock()
		if free {
			return slot
		}
	}
	return nil
}

// free ends what take began.
func (s *slot) free() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.req, s.ctx = nil, nil
}

// inFlight returns at most limit calls.
func (s *slots) inFlight(limit int) (calls []executor.InFlight) {
	for i := range s.all {
		slot := &s.all[i]
		slot.mu.Lock()
		if r := slot.req; r != nil && len(calls) < limit {
			calls = append(calls, executor.InFlight{Plan: r.GetPlan(), CallID: r.GetCallId(), Service: r.GetService(), Context: slot.ctx})
		}
		slot.mu.Unlock()
	}
	return calls
}
