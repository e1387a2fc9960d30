// Package thread measures what a piece of work takes on its thread: exactly how
// much processor time, and whether there were page faults.
//
//	var span thread.Span // used again and again
//	span.Begin()
//	// the work
//	used := span.End()
//
// Only the kernel knows, and asking it takes longer than short work does. So
// what it said last is kept for the work that follows on the same thread; see "When
// is the kernel asked what a thread has used?" in docs/RATIONALE.md.
//
// # Promises
//
//   - If there was a page fault between Begin and End, in the work itself or in a
//     system call that it made, [Used] says so. It can also say so if there was
//     one shortly before.
//   - Processor time is that of the thread: not the time in which others ran.
//
// Elsewhere than on Linux, there may have been page faults whenever one asks, and
// time is that of the clock on the wall.
package thread

import "time"

// Used is what a span took.
type Used struct {
	// CPU is processor time.
	CPU time.Duration
	// Faulted reports whether there may have been page faults, in any memory.
	Faulted bool
}
