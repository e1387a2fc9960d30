package pristine

import (
	"fmt"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/ruedo-dev/ruedo/sandbox/thread"
)

// Memory is the linear memory of one instance. Pass it to the runtime with
// [experimental.WithMemoryAllocator] in the context of one InstantiateModule.
// One goroutine uses it at a time.
//
// The module's minimum must not exceed the limit, or InstantiateModule panics.
// For [Memory.Restore] to undo growth, the module's maximum must be at least
// one page above the limit.
type Memory struct {
	image *Image // nil: a template
	body  body   // nil: closed
	limit uint64

	size, peak, refused uint64

	given     bool // to a module
	freed     bool // by the runtime
	shrinking bool // the next Reallocate is Restore's

	counted bool // page faults show whether pages were written
	running bool // between Begin and End
	dirty   bool // pages can be private without having been counted

	span thread.Span
}

var (
	_ experimental.MemoryAllocator = (*Memory)(nil)
	_ experimental.LinearMemory    = (*Memory)(nil)
)

// NewTemplateMemory returns an empty memory that can grow up to limit bytes,
// from which an image can be taken. It cannot be restored. It reserves
// addresses for limit and takes memory as it is written. Close must be called.
func NewTemplateMemory(limit uint64) (*Memory, error) {
	if err := checkLimit(limit, 0); err != nil {
		return nil, err
	}
	body, err := newEmpty(limit)
	if err != nil {
		return nil, fmt.Errorf("reserving a memory of %d bytes: %w", limit, err)
	}
	return &Memory{body: body, limit: limit}, nil
}

// Allocate is called by the runtime. It panics if the memory already has a
// module, because the two would share it.
func (m *Memory) Allocate(_, _ uint64) experimental.LinearMemory {
	if m.given {
		panic("pristine: a memory was given to two modules")
	}
	m.given = true
	return m
}

// Reallocate is called by the runtime. It returns the memory in its new size,
// or nil, which the guest sees as a failed memory.grow. The first call returns
// at least the image.
func (m *Memory) Reallocate(size uint64) []byte {
	switch {
	case m.shrinking:
		size = m.image.size
	case m.image != nil && m.size == 0:
		size = max(size, m.image.size)
	}
	if size > m.limit || m.body == nil {
		m.refused = max(m.refused, size)
		return nil
	}
	b := m.body.extend(size)
	if b == nil {
		m.refused = max(m.refused, size)
		return nil
	}
	m.size, m.peak = size, max(m.peak, size)
	return b[:size:size]
}

// Free is called by the runtime when the module is closed. That can happen in
// the middle of a call, when the guest exits: native code and host functions
// can still hold the address. So it frees nothing; Close does. The memory
// cannot be restored any more.
func (m *Memory) Free() { m.freed = true }

// Close releases the memory. Nothing may use it any more: the call must have
// returned and the module must be closed. Closing it again does nothing.
func (m *Memory) Close() error {
	if m.body == nil {
		return nil
	}
	m.End()
	err := m.body.close()
	m.body, m.size, m.freed = nil, 0, true
	if m.image != nil {
		if ierr := m.image.release(); err == nil {
			err = ierr
		}
	}
	return err
}

// Bytes returns the memory in its present size, not a copy. It is valid until
// the memory grows, is restored or is closed.
func (m *Memory) Bytes() []byte {
	if m.body == nil {
		return nil
	}
	return m.body.extend(m.size)[:m.size:m.size]
}

// Kept returns how many bytes of private pages the memory has retained since
// the last Restore, as far as that is known: what Trim would release.
func (m *Memory) Kept() int {
	if m.body == nil {
		return 0
	}
	return m.body.kept()
}

// Size returns the present size in bytes.
func (m *Memory) Size() uint64 { return m.size }

// Peak returns the largest size since the last Restore, in bytes.
func (m *Memory) Peak() uint64 { return m.peak }

// Refused returns the largest size above the limit that was requested since the
// last Restore or ForgetRefused, in bytes; 0 if there was none.
func (m *Memory) Refused() uint64 { return m.refused }

// ForgetRefused sets Refused to 0, for a call that begins without a Restore.
func (m *Memory) ForgetRefused() { m.refused = 0 }
