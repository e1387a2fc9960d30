package fuel

import (
	"runtime"
	"sync/atomic"
	"time"
)

// CPUSlots are shared by the guests of a process that run for longer than a slice:
// at most as many as Go uses processors run at a time, and the others queue in FIFO
// order. All engines of a process should share one.
//
// Go's scheduler polls the network only when it finds nothing to run. With more
// guests than processors there is always a runnable one, and whoever waits for the
// network waits for 10 ms each time. So queued guests are not runnable, and running
// guests sleep briefly from time to time. See "Why do guests that compute take turns?"
// in docs/RATIONALE.md.
type CPUSlots struct {
	slots  chan struct{}
	guests atomic.Int32 // that have a slot or wait for one
}

// NewCPUSlots returns a slot for each processor that Go uses now.
func NewCPUSlots() *CPUSlots {
	return &CPUSlots{slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// saturated reports whether guests use all processors, so that others queue
// behind them. Otherwise a free processor runs everything else, and yielding
// would only make it spin in search of work, which costs half a processor.
func (s *CPUSlots) saturated() bool { return int(s.guests.Load()) >= cap(s.slots) }

// acquire waits for a slot. It ends the call if that ends first.
func (m *Meter) acquire() {
	if m.slot {
		return
	}
	slots := m.slots.slots
	select {
	case slots <- struct{}{}:
		m.slot = true
		return
	default:
	}
	for b := m.budget; !m.slot; {
		timer := time.NewTimer(time.Until(b.Deadline))
		select {
		case slots <- struct{}{}:
			m.slot = true
		case <-timer.C:
			b.stop(b.Over())
		case <-b.Context.Done():
			b.leave(time.Now())
		}
		timer.Stop()
	}
}

// release passes the slot to the guest that has waited for longest.
func (m *Meter) release() {
	if m.slot {
		m.slot = false
		<-m.slots.slots
	}
}
