package fuel

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/sandbox/thread"
)

// Bounds of a slice: the fuel that a guest gets at a time. A unit takes 0.03 to
// 0.4 ns, but up to 20 ns if every load misses the cache.
const (
	minSlice = 50_000
	maxSlice = 500_000
	// sliceTime is what a slice should take.
	sliceTime = 100 * time.Microsecond
	// napEvery is the processor time after which a guest sleeps for real, so that
	// the scheduler's other processors can steal the work queued behind it. With
	// yielding alone, a neighbour would wait for 10 ms.
	napEvery = time.Millisecond
	// napSaturated is the same if guests use all processors. Then the nap is also
	// when the system lets other processes run, and a call waits for each of their
	// wakeups on its way.
	napSaturated = napEvery / 4
	nap          = 10 * time.Microsecond
)

// Slice is how large a slice of a module's fuel should be. All of its instances
// share one and learn from each other. The zero value is ready to use.
type Slice struct{ size atomic.Int64 }

// next adjusts the slice toward sliceTime, from the time that the last one
// took.
func (s *Slice) next(took time.Duration) int64 {
	size := s.size.Load()
	switch {
	case size == 0:
		size = minSlice
	case took < sliceTime/2:
		size = min(size*2, maxSlice)
	case took > sliceTime*2:
		size = max(size/2, minSlice)
	}
	s.size.Store(size)
	return size
}

// Window is the time in which a guest runs, on the thread of its caller. A
// pristine.Memory is one.
type Window interface {
	Begin()
	// CPU returns the processor time since Begin.
	CPU() time.Duration
	// End returns what was used since Begin.
	End() thread.Used
}

// Config of a meter. All fields must be set.
type Config struct {
	Slots  *CPUSlots
	Slice  *Slice
	Window Window
	// StackOverflow reports whether the guest uses more native stack than allowed;
	// the meter asks whenever a slice is used up.
	StackOverflow func() bool
	// SliceEnd is called whenever a slice is used up. Nil: nothing is.
	SliceEnd func()
	// Gone is called once in a call with a grace, when its caller has left.
	Gone func()
}

// Meter counts what a guest does and lets it continue, slice by slice. The end
// of a slice is the only point at which a guest that computes can be stopped,
// and the only one at which Go's scheduler and garbage collector can take over
// its thread.
type Meter struct {
	slots         *CPUSlots
	slice         *Slice
	window        Window
	stackOverflow func() bool
	sliceEnd      func()
	gone          func()
	fuel          api.MutableGlobal // nil until Attach
	budget        *Budget           // of the call in flight

	given  int64         // what the guest was last given
	used   uint64        // fuel of the slices that are used up
	billed time.Duration // the call's processor time when it got the slice
	awake  time.Duration // since the instance last slept, over all its calls

	inside  bool // between enter and leave
	long    bool // it counts among the guests of the slots
	slot    bool // it has one
	touched bool // pages were brought into memory since the function began
	cpu     time.Duration
}

// NewMeter returns a meter for one instance.
func NewMeter(cfg Config) *Meter {
	return &Meter{slots: cfg.Slots, slice: cfg.Slice, window: cfg.Window, stackOverflow: cfg.StackOverflow, sliceEnd: cfg.SliceEnd, gone: cfg.Gone}
}

// Attach sets the global in which the guest counts its fuel down.
// Without it, nothing is metered but time in host functions.
func (m *Meter) Attach(fuel api.MutableGlobal) { m.fuel = fuel }

// Start begins a call with its first slice.
func (m *Meter) Start(b *Budget) {
	m.budget = b
	m.cpu, m.used, m.billed = 0, 0, 0
	if b.Long != nil {
		b.Long.began, b.Long.gone = time.Now(), m.gone
	}
	m.give(max(m.slice.size.Load(), minSlice))
}

// End forgets the call. The guest does not run until the next Start.
func (m *Meter) End() { m.budget = nil }

// CPU returns the processor time that the call has used.
func (m *Meter) CPU() time.Duration {
	if m.inside {
		return m.cpu + m.window.CPU()
	}
	return m.cpu
}

// Fuel returns the fuel that the call has used.
func (m *Meter) Fuel() uint64 {
	if m.fuel == nil {
		return 0
	}
	return m.used + uint64(max(m.given-int64(m.fuel.Get()), 0))
}

// Enter begins one function of the guest: until Exit, the goroutine stays on
// its thread, whose page faults and processor time are attributed to the guest.
func (m *Meter) Enter() {
	m.touched = false
	m.enter()
}

// Exit ends what Enter began, however the function ended. It reports whether
// pages were brought into memory meanwhile.
func (m *Meter) Exit() (touched bool) {
	m.leave()
	m.short()
	return m.touched
}

// short ends the guest's counting among those that run for long, until its next
// slice is used up.
func (m *Meter) short() {
	if m.long {
		m.long = false
		m.slots.guests.Add(-1)
		m.release()
	}
}

// Settle stops a call that exceeded its fuel limit with the work since its last
// slice. The guest has returned with err; Settle returns the call's error.
func (m *Meter) Settle(err error) error {
	if m.overspent() && m.budget.Stopped == Running {
		m.budget.Stopped = StopFuel
		if err == nil {
			err = errStopped
		}
	}
	return err
}

func (m *Meter) enter() {
	if m.inside {
		return
	}
	m.inside = true
	m.window.Begin()
}

// leave lets others run, and lets the goroutine move to another thread.
func (m *Meter) leave() {
	if !m.inside {
		return
	}
	m.inside = false
	used := m.window.End()
	m.cpu += used.CPU
	if used.Faulted {
		m.touched = true
	}
}

// give sets the guest's fuel to a slice, which ends exactly at the limit.
func (m *Meter) give(size int64) {
	if m.fuel == nil {
		return
	}
	if limit := m.budget.Fuel; limit > 0 {
		size = min(size, int64(min(limit-min(m.used, limit), maxSlice)))
	}
	m.given = size
	m.fuel.Set(uint64(size))
}

// overspent reports whether the call did more than allowed. The last slice ends
// at the limit, so the guest asks at its first test after the limit.
func (m *Meter) overspent() bool {
	limit := m.budget.Fuel
	return limit > 0 && m.Fuel() > limit
}

// refuel ends the call if it exceeds one of its limits, lets others run, and
// sets the fuel of the next slice.
func (m *Meter) refuel() {
	b := m.budget
	if !m.long {
		m.long = true
		m.slots.guests.Add(1)
	}
	m.used, m.given = m.Fuel(), 0 // used now includes all that was given
	m.fuel.Set(0)
	m.leave()
	now := time.Now()
	b.checkTime(now)
	b.renew(now, m.cpu)
	if m.cpu > b.cpuLimit() {
		b.stop(StopCPU)
	}
	if m.overspent() {
		b.stop(StopFuel)
	}
	if m.stackOverflow() {
		b.stop(StopStack)
	}
	if m.sliceEnd != nil {
		m.sliceEnd()
	}
	took := m.cpu - m.billed
	m.billed = m.cpu
	saturated := m.slots.saturated()
	every := napEvery
	if saturated {
		every = napSaturated
	}
	if m.awake += took; m.awake >= every {
		m.awake = 0
		time.Sleep(nap)
		m.release() // not earlier: the scheduler would find the next guest instead of the network
	} else if saturated {
		runtime.Gosched()
	}
	m.acquire()
	b.checkTime(time.Now()) // others ran meanwhile
	m.enter()
	m.give(m.slice.next(took))
}
