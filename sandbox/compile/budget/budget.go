// Package budget says how much a compiler can use for a module. That grows with
// the size of the code, as what honest modules need does:
//
//	limits := budget.Limits{CPU: 12 * time.Second, Timeout: 30 * time.Second, Memory: 1 << 30}
//	limits = limits.For(wasm, budget.Usual)
package budget

import (
	"time"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// Budget is how many times its usual time a module can take to compile.
type Budget int

const (
	// Usual is the budget of a module about which nothing is known.
	Usual Budget = 1
	// Proven is the budget of a module that was compiled before, here or on another
	// machine. It is not hostile to compilers, so if it takes long, then because
	// the machine is slow or busy.
	Proven Budget = 4
)

// Limits bound one compilation.
type Limits struct {
	CPU, Timeout time.Duration
	Memory       int64 // in bytes
}

// Each full MiB of code adds a share of the times, and bytes of memory. What small
// modules get leaves room for expensive ones; the largest honest modules need a
// quarter of what they get.
const (
	timeShare   = 8
	memoryShare = 16 << 20
)

// For returns the limits for a module, given those for one that is small.
func (l Limits) For(wasm []byte, b Budget) Limits {
	mib := codeSize(wasm) >> 20
	grow := func(d time.Duration) time.Duration {
		return time.Duration(b) * (d + d/timeShare*time.Duration(mib))
	}
	return Limits{CPU: grow(l.CPU), Timeout: grow(l.Timeout), Memory: l.Memory + memoryShare*mib}
}

// codeSize returns the size of the code section in bytes, or 0 if there is none
// or the module is malformed: what surrounds the code costs a compiler nothing.
func codeSize(wasm []byte) int64 {
	r := wasmbin.NewReader(wasm, 0)
	if _, err := r.Bytes(8); err != nil {
		return 0
	}
	for {
		id, err := r.Byte()
		if err != nil {
			return 0
		}
		size, err := r.U32()
		if err != nil {
			return 0
		}
		if _, err := r.Bytes(uint64(size)); err != nil {
			return 0
		}
		if id == wasmbin.SectionCode {
			return int64(size)
		}
	}
}
