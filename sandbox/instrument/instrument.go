// Package instrument rewrites a guest's module before it is compiled, so that
// the sandbox can stop it, bill it and restore it.
//
// [Rewrite] is all there is. Give it an admitted module, compile
// [Result].Wasm, provide the function [ImportRefuel], and when an instance is
// made: copy [Result].Segments into its memory, call [Result].Start if it is not
// empty, and from then on set the global [Result].Fuel before each call.
//
// # Metering
//
// A Wasm engine never preempts the code that it compiled: a guest that loops
// cannot be stopped from outside, and holds up the garbage collector of the
// whole process. So the guest is made to pay for what it does and to ask for
// more. It has one more global, the fuel, and one more import, refuel. Each
// function is walked once; the walk keeps what has been spent since the last
// charge on the most expensive path that leads to where it is:
//
//   - at the head of a loop the most expensive way back to it is charged, and
//     tested: where fuel is below zero, refuel is called;
//   - so is what has been spent before the first call of a function that could
//     lead back, so that recursion is tested, and after each 1,024 units of
//     code without a loop;
//   - where a function returns, what it has spent is charged without a test.
//     Up to 24 units are left to the caller, in whose price of a call they are,
//     so that small functions without loops and calls carry no charge at all.
//
// A small innermost loop is unrolled up to eight times behind one test. Filling
// and copying memory is done in pieces of 256 KiB with a test between, a unit
// for each byte; other bulk instructions pay for their length beforehand.
//
// # Promises
//
//   - No path is charged less than it costs. The sum depends on what the guest
//     does and on nothing else: not on time, and not on how much is given at
//     once.
//   - Between two calls of refuel a guest does a bounded amount of work, about
//     what it was given. Whatever the guest does, refuel gets called: it may end
//     the guest by panicking, and may take its time.
//   - A guest cannot reach its fuel. Every index is checked against what the
//     module has by itself before anything is added, and names that begin with
//     [wasmbin.ReservedPrefix] are refused.
//   - What the guest computes does not change. What does: its memory and tables
//     may have a lower maximum, and names in traces stay while debug information
//     and other custom sections go, because their offsets would be wrong.
//   - The result is a valid module where the given one is. A module that is not
//     valid is refused, or gives one that the compiler refuses; except that names
//     that are damaged do no harm, nor does a ref.func of the start function.
//   - Rewriting is a pure function of its arguments; the cost is linear in the
//     size of the module.
//
// # What it costs
//
// Measured on two shared cores, in processor time: rewriting 4 ms a megabyte for
// Go and up to 10 for dense C; compiling 1.05 times as long, code 1.03 (Go) to
// 1.25 times as large (C); guests run 1.1 times as long in the median of 16
// loads, 1.3 in the worst. BenchmarkMetered and its neighbours say it again. A
// global that counts the depth of calls would cost 3 % more in the median and 7 %
// in pure recursion, and bound little, because a frame takes from 76 bytes to
// tens of kilobytes: there is none.
package instrument

import (
	"fmt"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// Version of what Rewrite does. It changes whenever the same module would come
// out differently, and belongs into the key of whatever is kept of a result.
const Version = 3

// Names of what is added to a module. Guests cannot use them.
const (
	// ImportModule and ImportRefuel name the function that a metered guest calls
	// when its fuel is below zero. It takes and returns nothing.
	ImportModule = wasmbin.ReservedPrefix + "meter"
	ImportRefuel = "refuel"
	// ExportFuel is the mutable i64 global with what is left. It begins at 0.
	ExportFuel = wasmbin.ReservedPrefix + "fuel"
	// ExportStart is the function that was the module's start function.
	ExportStart = wasmbin.ReservedPrefix + "start"
	// ExportGlobal and the index are the name of a mutable global.
	ExportGlobal = wasmbin.ReservedPrefix + "global:"
)

// Options of a rewrite. The zero value only prepares a module for restoring.
type Options struct {
	// Meter makes the guest pay.
	Meter bool
	// MemoryMaxPages lowers the maximum of the guest's memory, in pages of 64 KiB;
	// 0 leaves it. A memory that starts with more is refused.
	MemoryMaxPages uint32
	// MemorySlackPages are added to the maximum for the use of the host, whose
	// allocator must refuse them to the guest. See "Why can the memory's
	// maximum be larger than its limit?" in docs/RATIONALE.md.
	MemorySlackPages uint32
	// TableMax lowers the maximum of each table, in elements, but not below what
	// it starts with; 0 leaves it.
	TableMax uint32
}

// Key tells results of one module apart.
func (o Options) Key() string {
	return fmt.Sprintf("instrument=%d meter=%t memory=%d+%d table=%d", Version, o.Meter, o.MemoryMaxPages, o.MemorySlackPages, o.TableMax)
}

// Result of a rewrite.
type Result struct {
	// Wasm is the module to compile.
	Wasm []byte
	// Segments were taken out of the module and are to be copied into the memory
	// of an instance, in this order, before Start. Their bytes share the memory
	// of the module that was given. They lie within the memory's minimum.
	Segments []Segment
	// Globals are the mutable globals of numbers that the module defines: with
	// its memory all of its state, if it is Restorable.
	Globals []Global
	// Start is ExportStart if the module had a start function, otherwise empty.
	Start string
	// Fuel is ExportFuel if the module is metered, otherwise empty.
	Fuel string
	// MemoryMaxPages is how far the guest may grow its memory, without slack; 0
	// if it defines none.
	MemoryMaxPages uint32
	// TableMin is how many elements the tables of an instance have at its start.
	TableMin uint64
	// Restorable tells that an instance can be brought back to an earlier state
	// by its memory and its Globals; otherwise Reasons say why not, each once.
	Restorable bool
	Reasons    []string
	// Checks is the number of places in the code that may call refuel.
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
