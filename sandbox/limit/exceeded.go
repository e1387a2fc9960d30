package limit

import (
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sandbox/fuel"
	"github.com/ruedo-dev/ruedo/sandbox/trap"
)

// Used is what a call had used when the host ended it.
type Used struct {
	CPU, Time time.Duration
	Fuel      uint64
	// HTTP says that some limits are for each minute.
	HTTP bool
	// In is the running export, for messages.
	In string
}

// Stopped returns the error of a call that the host ended for a reason, with the
// limit, the actual value and a fix. err is its cause.
func (l Limits) Stopped(why fuel.Stop, used Used, err error) *fault.Error {
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	took, per := used.Time.Round(time.Millisecond), ""
	if used.HTTP {
		per = " per minute"
	}
	switch why {
	case fuel.StopCPU:
		return fault.Wrap(err, fault.GuestCPU, "the service was stopped after %s of processor time, the limit is %s%s", used.CPU.Round(time.Millisecond), l.CPU, per).
			WithFix("make it do less, or raise cpu in a decorator").
			With("limit_ms", ms(l.CPU), "actual_ms", ms(used.CPU))
	case fuel.StopFuel:
		return fault.Wrap(err, fault.GuestFuel, "the service was stopped after %d units of fuel, the limit is %d", used.Fuel, l.Fuel).
			WithFix("make it do less").With("limit", l.Fuel, "actual", used.Fuel)
	case fuel.StopHostCalls:
		return fault.Wrap(err, fault.HostCallLimit, "the service was stopped after %d calls of host functions, which is the limit%s", MaxHostCalls, per).
			WithFix("read and write in larger pieces").With("limit", MaxHostCalls)
	case fuel.StopStack:
		return l.StackOver(used.In, err)
	case fuel.StopIdle:
		return fault.Wrap(err, fault.GuestIdle, "the service was stopped after %s, because no byte moved for %s, which is the limit", took, l.Idle).
			WithFix("send something now and then, or raise idle in a decorator").With("limit_ms", ms(l.Idle), "actual_ms", ms(l.Idle))
	case fuel.StopTimeout:
		return fault.Wrap(err, fault.GuestTimeout, "the service was stopped after %s, the limit is %s", took, l.Timeout).
			WithFix("make it faster, or raise timeout in a decorator").
			With("limit_ms", ms(l.Timeout), "actual_ms", ms(took), "deadline", "service")
	case fuel.StopDeadline:
		return fault.Wrap(err, fault.GuestTimeout, "the service was stopped after %s by its caller's deadline; its own limit is %s", took, l.Timeout).
			WithFix("give the call more time").
			With("limit_ms", ms(l.Timeout), "actual_ms", ms(took), "deadline", "caller")
	}
	return fault.Wrap(err, fault.Canceled, "the service was stopped after %s: its caller is gone", took).
		With("actual_ms", ms(took))
}

// StackOver returns the error of a guest that has used up its stack.
func (l Limits) StackOver(in string, err error) *fault.Error {
	return fault.Wrap(err, fault.GuestTrap, "the service trapped in %s: %s, over the limit of %s", in, trap.StackOverflow, text.Size(l.Stack)).
		WithFix("look for endless recursion in the service, or raise stack in a decorator").
		With("kind", trap.StackOverflow, "in", in, "limit", l.Stack)
}

// InputOver returns the error of a call whose input has n bytes, which is too much.
func (l Limits) InputOver(n int64) *fault.Error {
	return fault.New(fault.InputTooLarge, "the input has %s, the limit is %s", text.Exact(uint64(n)), text.Exact(uint64(l.Input))).
		WithFix("send less, or raise input in a decorator").With("limit", l.Input, "actual", n)
}

// OutputOver returns the error of a call whose output has at least n bytes, which
// is too much.
func (l Limits) OutputOver(n int64) *fault.Error {
	return fault.New(fault.GuestOutputLimit, "the service's output has at least %s, the limit is %s", text.Exact(uint64(n)), text.Exact(uint64(l.Output))).
		WithFix("answer with less, or raise output in a decorator").
		With("limit", l.Output, "actual", n)
}
