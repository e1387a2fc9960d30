package sandbox

import (
	"context"
	"runtime"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// Bounds of a slice: the fuel that a guest gets at a time. A unit takes 0.03 to
// 0.4 ns, but up to 20 ns where every load misses the cache.
const (
	minSlice = 50_000
	maxSlice = 500_000
	// sliceTime is what a slice should take.
	sliceTime = 100 * time.Microsecond
	// napEvery is after how much processor time a guest really sleeps, so that
	// the scheduler's other processors get to steal what waits behind it; yielding
	// alone lets a neighbour wait for 10 ms.
	napEvery = time.Millisecond
	// napCrowded is the same where guests take all processors: then the nap is
	// also when the system lets other processes run, and each of their wakeups on
	// a call's way waits for one.
	napCrowded = napEvery / 4
	nap        = 10 * time.Microsecond
)

// meter counts what a guest does and lets it go on, slice by slice. The guest
// counts its fuel down by itself and calls refuel when it is used up: that is
// the only place where a guest that computes can be stopped, and the only one
// where Go's scheduler and garbage collector get hold of its thread.
type meter struct {
	fuel  api.MutableGlobal // nil where no module could be made
	slice int64             // what the guest was given last
	used  uint64            // slices that are gone
	given time.Duration     // the call's processor time when it got the slice
	burnt time.Duration     // since the instance last slept, over all its calls
}

// hostMeter instantiates the function that instrumented guests call.
func hostMeter(ctx context.Context, r wazero.Runtime) error {
	_, err := r.NewHostModuleBuilder(instrument.ImportModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, _ []uint64) {
		instanceOf(ctx).refuel()
	}), nil, nil).Export(instrument.ImportRefuel).
		Instantiate(ctx)
	return err
}

// start gives a call its first slice.
func (m *meter) start(size int64, limit uint64) {
	m.used, m.given = 0, 0
	m.give(max(size, minSlice), limit)
}

// give sets the guest's fuel to a slice, which ends exactly at the limit.
func (m *meter) give(size int64, limit uint64) {
	if m.fuel == nil {
		return
	}
	if limit > 0 {
		size = min(size, int64(min(limit-min(m.used, limit), maxSlice)))
	}
	m.slice = size
	m.fuel.Set(uint64(size))
}

// spent is the fuel that the call has used so far.
func (m *meter) spent() uint64 {
	if m.fuel == nil {
		return 0
	}
	return m.used + uint64(max(m.slice-int64(m.fuel.Get()), 0))
}

// refuel ends the call if it is over one of its limits, lets others run, and
// gives the guest its next slice.
func (i *instance) refuel() {
	m, c := &i.meter, i.call
	turns := i.t.engine.cfg.Turns
	if !i.long {
		i.long = true
		turns.guests.Add(1)
	}
	m.used, m.slice = m.spent(), 0 // all that was given is in used
	m.fuel.Set(0)
	i.leave()
	c.checkpointAt(time.Now())
	if i.cpu > c.limits.CPU {
		c.stop(stopCPU)
	}
	if i.overspent() {
		c.stop(stopFuel)
	}
	if i.stack.grown() > mostStack {
		c.stop(stopStack)
	}
	took := i.cpu - m.given
	m.given = i.cpu
	crowded := turns.crowded()
	every := napEvery
	if crowded {
		every = napCrowded
	}
	if m.burnt += took; m.burnt >= every {
		m.burnt = 0
		time.Sleep(nap)
		i.pass() // not before: the next guest would be found in place of the network
	} else if crowded {
		runtime.Gosched()
	}
	i.take()
	i.enter()
	m.give(i.nextSlice(took), c.limits.Fuel)
}

// overspent tells that the call did more than it may. The last slice ends at
// the limit, so the guest asks at its first test behind it.
func (i *instance) overspent() bool {
	limit := i.call.limits.Fuel
	return limit > 0 && i.meter.spent() > limit
}

// nextSlice aims at sliceTime by what the last slice took.
func (i *instance) nextSlice(took time.Duration) int64 {
	size := i.t.sliceSize.Load()
	switch {
	case size == 0:
		size = minSlice
	case took < sliceTime/2:
		size = min(size*2, maxSlice)
	case took > sliceTime*2:
		size = max(size/2, minSlice)
	}
	i.t.sliceSize.Store(size)
	return size
}
