// Package protocol agrees on the number of the lane protocol that a runner and a
// core speak with each other, and converts what runners of an older one send.
//
// Each end speaks a range of numbers. The runner says its own in its hello, and
// the core answers with the highest number that both speak. So an older runner
// keeps working while a cluster is upgraded, and so does a newer one.
//
// # Numbers
//
//   - 1 reports calls and preparations in messages of its own; see [Info].
//   - 2 reports them in public messages.
//   - 3 sends modules in chunks, as they are stored, so that a transfer that broke
//     off resumes where it stopped.
//   - 4 pauses between heartbeats on idle lanes, says how long, and answers probes.
//   - 5 carries calls of kind http, and what streams in them.
package protocol

import (
	"fmt"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Newest is the highest number that this version speaks, on both ends.
const Newest = 5

const (
	// ModuleChunks is the lowest number with which modules are sent in chunks.
	ModuleChunks = 3
	// Pauses is the lowest number with which heartbeats pause on idle lanes.
	Pauses = 4
	// Streams is the lowest number with which calls of kind http are carried.
	Streams = 5
)

// The lowest numbers. A core understands what older runners send; a runner does
// not speak to older cores in their words.
const (
	oldestOfCore   = 1
	oldestOfRunner = 2
)

// Range is the numbers that one end speaks. The zero value means that they are
// not known.
type Range struct{ Min, Max uint32 }

// OfCore returns what cores of this version speak.
func OfCore() Range { return Range{oldestOfCore, Newest} }

// OfRunner returns what runners of this version speak.
func OfRunner() Range { return Range{oldestOfRunner, Newest} }

func (r Range) String() string {
	if r.Min == r.Max {
		return fmt.Sprint(r.Min)
	}
	return fmt.Sprintf("%d to %d", r.Min, r.Max)
}

// Hello writes the range of a runner into its hello. Cores that know no ranges
// take the lowest number for the only one.
func (r Range) Hello(h *runnerv1.Hello) { h.Protocol, h.MaxProtocol = r.Min, r.Max }

// Welcome returns what the core answers a runner that says hello with: the
// number that they will speak. It fails with LANE_PROTOCOL if there is none.
func (r Range) Welcome(h *runnerv1.Hello) (uint32, error) {
	runner := Range{h.GetProtocol(), max(h.GetProtocol(), h.GetMaxProtocol())}
	number := min(r.Max, runner.Max)
	switch {
	case number >= max(r.Min, runner.Min):
		return number, nil
	case runner.Min > r.Max:
		return 0, none(runner, r).WithFix("upgrade the core, or run a runner of the core's version")
	}
	return 0, none(runner, r).WithFix("upgrade the runner to the core's version")
}

// Welcomed returns the number that a runner with this range speaks with a core
// that answered its hello, and what the core speaks, if it says that. It fails
// with LANE_PROTOCOL if the runner does not speak the number.
func (r Range) Welcomed(w *runnerv1.Welcome) (number uint32, core Range, err error) {
	if w.GetProtocol() == 0 {
		return r.Min, Range{}, nil // the core knows no ranges
	}
	core = Range{w.GetMinProtocol(), w.GetMaxProtocol()}
	if number = w.GetProtocol(); number < r.Min || number > r.Max {
		return 0, core, fault.New(fault.LaneProtocol, "the core chose lane protocol %d, this runner speaks %s", number, r).
			WithFix("run the same version of ruedo on cores and runners")
	}
	return number, core, nil
}

func none(runner, core Range) *fault.Error {
	return fault.New(fault.LaneProtocol, "the runner speaks lane protocol %s, this core %s", runner, core)
}
