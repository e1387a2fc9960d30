// Package hostcall implements everything that a guest can call: the functions
// of the guest contract and WASI preview 1.
//
// A [Host] serves all guests of a runtime, a [Guest] is one instance, and a
// [Call] holds the input and the results of one call of it:
//
//	host := hostcall.NewHost()
//	err := host.Instantiate(ctx, runtime)
//	guest := hostcall.NewGuest(meter, false)
//	ctx = hostcall.NewContext(ctx, guest) // the guest is instantiated and called with it
//	guest.Start(&call)
//	status, err := function.Call(ctx)
//	call.Finish(status, err)
//
// # Promises
//
//   - A guest has no files but an empty directory that it cannot change, no
//     network but the streams that its call's opener opens, and only the environment
//     and arguments that it was given. Its clocks are as coarse as [Tick], its
//     randomness is real.
//   - What a guest writes (logs, messages) is bounded, and is returned as valid
//     UTF-8 without control characters, except newline and tab.
//   - A function returns an error to the guest, or ends the call by a panic
//     that the runtime returns as the call's error. Whatever a function repeats
//     or waits for ends with the call; the [Meter] sees to it.
//
// A Guest and its Call are used by one goroutine at a time: the one that runs the
// guest.
package hostcall

import (
	"context"
	"errors"
	"time"

	"github.com/tetratelabs/wazero"
)

// errFlooded is what a host function panics with to end a call whose output
// exceeds its limit.
var errFlooded = errors.New("the output is over its limit")

// Meter bounds what host functions do for a call. Each method ends the call, by
// a panic, if it exceeds one of its limits.
type Meter interface {
	// HostCall counts one call of a host function.
	HostCall()
	// Step counts something that a host function repeats, and the bytes that it is
	// about to move.
	Step(bytes int)
	// Sleep waits. Others run meanwhile.
	Sleep(d time.Duration)
	// Wait is Sleep, but returns as soon as wake has a value and ready returns true.
	Wait(d time.Duration, wake <-chan struct{}, ready func() bool)
	// Idle ends the call: nothing has moved for too long.
	Idle()
	// Yield lets others run.
	Yield()
	// CPU returns the processor time that the call has used.
	CPU() time.Duration
}

// Host is what the guests of a runtime share: their host functions and their
// clocks.
type Host struct {
	// Now is the guests' wall clock, before it is made coarse: time.Now.
	Now  func() time.Time
	born time.Time // zero of the monotonic clock
}

// NewHost returns a host whose monotonic clock begins now.
func NewHost() *Host { return &Host{Now: time.Now, born: time.Now()} }

// Instantiate creates the host functions in a runtime.
func (h *Host) Instantiate(ctx context.Context, r wazero.Runtime) error {
	if err := instantiateContract(ctx, r); err != nil {
		return err
	}
	return h.instantiateWASI(ctx, r)
}

// Guest is one instance, as seen by host functions.
type Guest struct {
	meter   Meter
	command bool
	call    *Call // in flight
}

// NewGuest returns a guest. A command reads its input from stdin and writes its
// output to stdout. What any other guest prints becomes part of its logs.
func NewGuest(m Meter, command bool) *Guest { return &Guest{meter: m, command: command} }

// Start begins a call.
func (g *Guest) Start(c *Call) { g.call = c }

// End forgets the call. The guest does not run until the next Start.
func (g *Guest) End() { g.call = nil }

type guestKey struct{}

// guestContext carries a guest to the host functions. It is a type of its own
// because a type assertion is faster than looking a value up.
type guestContext struct {
	context.Context
	guest *Guest
}

func (c *guestContext) Value(key any) any {
	if key == (guestKey{}) {
		return c.guest
	}
	return c.Context.Value(key)
}

// NewContext returns a context to call a guest with.
func NewContext(ctx context.Context, g *Guest) context.Context { return &guestContext{ctx, g} }

// enter returns the guest that calls a host function, and counts the call.
func enter(ctx context.Context) *Guest {
	g := guestOf(ctx)
	g.meter.HostCall()
	return g
}

func guestOf(ctx context.Context) *Guest {
	if c, ok := ctx.(*guestContext); ok {
		return c.guest
	}
	return ctx.Value(guestKey{}).(*Guest)
}
