// Package instrument rewrites a guest's module before it is compiled, so that
// the sandbox can stop it, bill it and restore it.
//
// [Rewrite] is the only entry point. Pass it an admitted module, compile
// [Result].Wasm and provide the function [ImportRefuel]. For each new instance,
// copy [Result].Segments into its memory, call [Result].Start if it is not
// empty, and from then on set the global [Result].Fuel before each call.
//
// # Metering
//
// A Wasm engine never preempts the code that it compiled: a guest that loops
// cannot be stopped from outside, and holds up the garbage collector of the
// whole process. So the guest pays for its work and asks for more fuel. It gets
// one more global, the fuel, and one more import, refuel. Each function is
// walked once. The walk tracks what was spent since the last charge, on the
// most expensive path to the current point:
//
//   - at the head of a loop, the most expensive way back to it is charged and
//     tested: if the fuel is below zero, refuel is called;
//   - the same happens before the first call of a function that could recurse,
//     so that recursion is tested, and after every 1,024 units of code without
//     a loop;
//   - when a function returns, what it has spent is charged without a test. Up
//     to 24 units are left to the caller, which pays for them with the call, so
//     that small functions without loops and calls carry no charge at all.
//
// A small innermost loop is unrolled up to eight times behind one test. Memory
// is filled and copied in pieces of 256 KiB, with a test for each piece and one
// unit per byte. Other bulk instructions pay for their length in advance.
//
// # Promises
//
//   - No path is charged less than it costs. The sum depends only on what the
//     guest does: not on time, and not on how much fuel is given at a time.
//   - Between two calls of refuel a guest does a bounded amount of work, about
//     what it got fuel for. Whatever the guest does, refuel gets called. It can
//     end the guest by panicking, and it can take its time.
//   - A guest cannot reach its fuel. Every index is checked against the
//     original module before anything is added, and names that begin with
//     [wasmbin.ReservedPrefix] are refused.
//   - What the guest computes does not change. Its memory and tables can get a
//     lower maximum. The names that appear in traces stay, but debug
//     information and other custom sections are removed, because their offsets
//     would be wrong.
//   - A valid module stays valid. An invalid one is refused, or rewritten to
//     one that the compiler refuses. There are two exceptions: damaged names do
//     no harm, nor does a ref.func of the start function.
//   - Rewriting is a pure function of its arguments, and its cost is linear in
//     the size of the module.
//
// # What it costs
//
// docs/benchmarks.md has what metering costs guests, and what rewriting and
// compiling cost. BenchmarkMetered and its neighbours measure it for each load.
// There is no global that counts the depth of calls: it would cost 3 % more in
// the median and 7 % in pure recursion, and bound little, because a frame takes
// from 76 bytes to tens of kilobytes.
package instrument

import (
	"fmt"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// Version is the version of Rewrite. It changes whenever the same module would
// be rewritten differently, and belongs in the key of every cached result.
const Version = 3

// Names that are added to a module. Guests cannot use them.
const (
	// ImportModule and ImportRefuel name the function that a metered guest calls
	// when its fuel is below zero. It takes and returns nothing.
	ImportModule = wasmbin.ReservedPrefix + "meter"
	ImportRefuel = "refuel"
	// ExportFuel is the mutable i64 global that holds the remaining fuel. It
	// starts at 0.
	ExportFuel = wasmbin.ReservedPrefix + "fuel"
	// ExportStart is the function that was the module's start function.
	ExportStart = wasmbin.ReservedPrefix + "start"
	// ExportGlobal followed by the index is the name of a mutable global.
	ExportGlobal = wasmbin.ReservedPrefix + "global:"
)

// Options of a rewrite. The zero value only prepares a module to be restored.
type Options struct {
	// Meter makes the guest pay for its work.
	Meter bool
	// MemoryMaxPages lowers the maximum of the guest's memory, in pages of 64 KiB;
	// 0 keeps it. A memory that starts with more is refused.
	MemoryMaxPages uint32
	// MemorySlackPages are added to the maximum for the host's own use. The host's
	// allocator must refuse them to the guest. See "Why can the memory's maximum
	// be larger than its limit?" in docs/RATIONALE.md.
	MemorySlackPages uint32
	// TableMax lowers the maximum of each table, in elements, but never below its
	// minimum; 0 keeps it.
	TableMax uint32
}

// Key identifies the options among the results of one module.
func (o Options) Key() string {
	return fmt.Sprintf("instrument=%d meter=%t memory=%d+%d table=%d", Version, o.Meter, o.MemoryMaxPages, o.MemorySlackPages, o.TableMax)
}

// Result is the result of a rewrite.
type Result struct {
	// Wasm is the module to compile.
	Wasm []byte
	// Segments were removed from the module. They must be copied into the memory
	// of each instance, in this order, before Start. Their bytes share the memory
	// of the original module. They lie within the memory's minimum.
	Segments []Segment
	// Globals are the mutable numeric globals that the module defines. If it is
	// Restorable, they and its memory are all of its state.
	Globals []Global
	// Start is ExportStart if the module had a start function, otherwise empty.
	Start string
	// Fuel is ExportFuel if the module is metered, otherwise empty.
	Fuel string
	// MemoryMaxPages is the size to which the guest can grow its memory, without
	// slack; 0 if it defines no memory.
	MemoryMaxPages uint32
	// TableMin is the total number of elements of a new instance's tables.
	TableMin uint64
	// Restorable reports whether an instance can be brought back to an earlier
	// state by its memory and its Globals. If not, Reasons say why, without
	// duplicates.
	Restorable bool
	Reasons    []string
	// Checks is the number of places in the code that can call refuel.
	Checks int
}

// Segment is a piece of the initial memory.
type Segment struct {
	Offset uint32
	Bytes  []byte
}

// Global is a mutable global that is exported as Name.
type Global struct {
	Name string
	Type wasmbin.ValType
}

// Rewrite prepares a module. Errors are [*fault.Error].
func Rewrite(wasm []byte, o Options) (*Result, error) {
	m, err := wasmbin.Read(wasm)
	if err != nil {
		return nil, err
	}
	if err := m.CheckReserved(); err != nil {
		return nil, err
	}
	return newRewriter(m, wasm, o).run()
}
