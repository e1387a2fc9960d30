package sandbox

import (
	"github.com/tetratelabs/wazero/experimental"
)

// memory is the linear memory of one instance. It reserves addresses up to the
// limit, so that it never moves, and becomes real page by page as the guest
// touches it.
//
// The runtime calls Free in the middle of a call, when a guest exits or is
// stopped; native code and host functions may still hold the address then. So
// Free does nothing, and the instance calls release once the call returned.
type memory struct {
	limit uint64
	bytes []byte // the reservation
	// peak is the largest size that was granted, refused the largest that was not.
	peak, refused uint64
}

var (
	_ experimental.MemoryAllocator = (*memory)(nil)
	_ experimental.LinearMemory    = (*memory)(nil)
)

// Allocate is called once, before the first Reallocate.
func (m *memory) Allocate(_, maximum uint64) experimental.LinearMemory {
	m.bytes = reserve(min(m.limit, maximum))
	return m
}

// Reallocate gives the memory in its new size, or nil, which the guest sees as
// a failed memory.grow.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.limit {
		m.refused = max(m.refused, size)
		return nil
	}
	if m.bytes = extend(m.bytes, size); m.bytes == nil {
		m.refused = max(m.refused, size)
		return nil
	}
	m.peak = max(m.peak, size)
	return m.bytes[:size:size]
}

// Free does nothing; see the type.
func (m *memory) Free() {}

// release gives everything back. Nothing may use the memory any more.
func (m *memory) release() {
	unreserve(m.bytes)
	m.bytes = nil
}
