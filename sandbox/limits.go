package sandbox

import (
	"time"

	"github.com/ruedo-dev/ruedo/sandbox/stack"
)

// Limits of one call. Starting a module is limited like a call; if every call starts
// a new instance, the start counts toward that call's limits. A field that is zero or
// less means its default.
type Limits struct {
	// Memory of the guest in bytes, in whole pages of 64 KiB, at least one; 128 MiB.
	// The maximum is 4 GiB less two pages.
	Memory uint64
	// Timeout of a call by the clock, from making the instance to its answer;
	// 10 s. A caller's own deadline counts if it is sooner.
	Timeout time.Duration
	// CPU is the processor time of a call; waiting does not count. The default is
	// Timeout.
	CPU time.Duration
	// Fuel is the work that a call may do, in units that do not depend on the
	// machine; no limit by default. A call that did more fails, at the same place each time.
	Fuel uint64
	// Stack is the native stack of a call in bytes, from 256 KiB to 256 MiB; 32 MiB.
	// It is not part of Memory.
	Stack int64
	// Input, Output and Logs in bytes; 4 MiB, 4 MiB and 64 KiB.
	Input, Output, Logs int64
}

const (
	page = 65536
	// maxMemory leaves one page: growing by it is how a memory shrinks again.
	maxMemory = 65534 * page
)

// maxTable is how many elements a table can grow to, unless it starts with
// more. They are not part of the guest's memory.
const maxTable = 100_000

// maxHostCalls is how many host functions a call can use, except for clocks and
// similar ones, which cost almost nothing. Reaching it takes some seconds.
const maxHostCalls = 20_000_000

// WithDefaults returns l with defaults for what is not set, and Memory in whole pages.
func (l Limits) WithDefaults() Limits {
	if l.Memory == 0 {
		l.Memory = 128 << 20
	}
	l.Memory = min(max(l.Memory, page), maxMemory) / page * page
	if l.Timeout <= 0 {
		l.Timeout = 10 * time.Second
	}
	if l.CPU <= 0 {
		l.CPU = l.Timeout
	}
	if l.Stack <= 0 {
		l.Stack = stack.Default
	}
	l.Stack = min(max(l.Stack, stack.Min), stack.Max)
	if l.Input <= 0 {
		l.Input = 4 << 20
	}
	if l.Output <= 0 {
		l.Output = 4 << 20
	}
	if l.Logs <= 0 {
		l.Logs = 64 << 10
	}
	return l
}
