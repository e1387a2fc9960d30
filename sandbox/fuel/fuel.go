// Package fuel bounds what a call can use and shares the processors among
// guests.
//
// Each instance has a [Meter], and each call a [Budget]:
//
//	meter := fuel.NewMeter(fuel.Config{Slots: slots, Slice: slice, Window: memory})
//	ctx = fuel.NewContext(ctx, meter) // the guest is instantiated and called with it
//	meter.Start(&budget)
//	meter.Enter()
//	_, err := function.Call(ctx)
//	meter.Exit()
//	err = meter.Settle(err)
//
// # Promises
//
//   - A guest that computes is stopped within a slice of the moment at which
//     its call ran out of time, processor time or fuel. For that, it must have
//     been rewritten by package instrument: it counts its fuel down on its own
//     and calls the host ([Instantiate]) when a slice is used up.
//   - Host functions call [Meter.HostCall], [Meter.Step], [Meter.Sleep] and
//     [Meter.Yield], which end the call in the same way.
//   - The fuel of a call does not depend on the machine. Its processor time is
//     that of the thread, and does not include waiting.
//   - At most as many long-running guests as processors run at a time
//     ([CPUSlots]).
//
// A call is ended by a panic out of the host function, which the runtime returns as
// the call's error; [Budget.Stopped] holds the cause. A Meter is used by one
// goroutine at a time: the one that runs the guest.
package fuel

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/ruedo-dev/ruedo/sandbox/instrument"
)

// Instantiate makes the function that instrumented guests call when their slice is
// used up. They must run with a context of [NewContext].
func Instantiate(ctx context.Context, r wazero.Runtime) error {
	_, err := r.NewHostModuleBuilder(instrument.ImportModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, _ []uint64) {
		ctx.Value(meterKey{}).(*Meter).refuel()
	}), nil, nil).Export(instrument.ImportRefuel).
		Instantiate(ctx)
	return err
}

type meterKey struct{}

// meterContext carries a meter to the function that refuels it. It is a type of
// its own because looking up a value in it is faster than in a
// context.WithValue.
type meterContext struct {
	context.Context
	meter *Meter
}

func (c *meterContext) Value(key any) any {
	if key == (meterKey{}) {
		return c.meter
	}
	return c.Context.Value(key)
}

// NewContext returns a context to call a guest with.
func NewContext(ctx context.Context, m *Meter) context.Context { return &meterContext{ctx, m} }
