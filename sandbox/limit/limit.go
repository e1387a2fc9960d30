// Package limit has the limits of a call, and their defaults.
package limit

import (
	"math"
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
	// 10 s, and 60 s for kind http. A caller's own deadline counts if it is sooner.
	Timeout time.Duration
	// Idle is how long a call of kind http can wait without a byte moving in any
	// direction; 5 min. Other kinds have no such limit.
	Idle time.Duration
	// Grace is how long a call of kind http goes on when its caller is gone, so that
	// it can clean up; 0, at most [MaxGrace]. It learns that its caller is gone by
	// errors of reading and writing. Other kinds are stopped immediately.
	Grace time.Duration
	// CPU is the processor time of a call; waiting does not count. A call of kind
	// http that takes longer than a minute has it for each minute. The default is
	// Timeout, and for kind http at most a minute.
	CPU time.Duration
	// Fuel is the work that a call may do, in units that do not depend on the
	// machine; no limit by default. A call that did more fails, at the same place each time.
	Fuel uint64
	// Stack is the native stack of a call in bytes, from 256 KiB to 256 MiB; 32 MiB.
	// It is not part of Memory.
	Stack int64
	// Input, Output and Logs in bytes; 4 MiB, 4 MiB and 64 KiB. For kind http, Input
	// and Output count the bytes of bodies, also if they stream; 64 MiB each.
	// [Unlimited] is more than any body has.
	Input, Output, Logs int64
}

const (
	// Page is how large a page of a guest's memory is.
	Page = 65536
	// maxMemory leaves one page: growing by it is how a memory shrinks again.
	maxMemory = 65534 * Page
	// Unlimited is no limit, for Input and Output of kind http.
	Unlimited = math.MaxInt64
)

const (
	// MaxTable is how many elements a table can grow to, unless it starts with
	// more. They are not part of the guest's memory.
	MaxTable = 100_000
	// MaxHostCalls is how many host functions a call can use, except for clocks and
	// similar ones, which cost almost nothing. Reaching it takes some seconds. A call
	// of kind http can use as many in each Minute.
	MaxHostCalls = 20_000_000
	// MaxGrace is the most that Grace can be.
	MaxGrace = 5 * time.Second
	// Minute is what the limits of long exchanges are for.
	Minute = time.Minute
)

// WithDefaults returns l with defaults for what is not set, and Memory in whole
// pages.
func (l Limits) WithDefaults() Limits {
	if l.Memory == 0 {
		l.Memory = 128 << 20
	}
	l.Memory = min(max(l.Memory, Page), maxMemory) / Page * Page
	if l.Timeout <= 0 {
		l.Timeout = 10 * time.Second
	}
	if l.Idle <= 0 {
		l.Idle = 5 * time.Minute
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

// WithHTTPDefaults is WithDefaults for kind http.
func (l Limits) WithHTTPDefaults() Limits {
	if l.Timeout <= 0 {
		l.Timeout = time.Minute
	}
	if l.CPU <= 0 {
		l.CPU = min(l.Timeout, Minute)
	}
	l.Grace = min(max(l.Grace, 0), MaxGrace)
	if l.Input <= 0 {
		l.Input = 64 << 20
	}
	if l.Output <= 0 {
		l.Output = 64 << 20
	}
	return l.WithDefaults()
}
