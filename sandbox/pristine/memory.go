package pristine

import (
	"fmt"

	"github.com/tetratelabs/wazero/experimental"
)

// Memory is the linear memory of one instance. Pass it to the runtime with
// [experimental.WithMemoryAllocator] in the context of one InstantiateModule.
// One goroutine uses it at a time.
//
// The module's minimum must not be over the limit, or InstantiateModule panics.
// For [Memory.Restore] to be able to undo growth, the module's maximum must be
// at least one page more than the limit.
type Memory struct {
	image *Image // nil: a template
	body  body   // nil: closed
	limit uint64

	size, peak, refused uint64

	given     bool // to a module
	freed     bool // by the runtime
	shrinking bool // the next Reallocate is Restore's

	counted bool // page faults tell whether pages were written
	running bool // between Begin and End
	before  int64
	dirty   bool // pages may be private that nobody counted
}

var (
	_ experimental.MemoryAllocator = (*Memory)(nil)
	_ experimental.LinearMemory    = (*Memory)(nil)
)

// NewTemplateMemory gives an empty memory that can grow up to limit bytes, to
// take an image from; it cannot be restored. It reserves addresses for limit
// and takes memory as it is written. Close must be called.
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

// Allocate is for the runtime. It panics if the memory has a module already,
// which would share it.
func (m *Memory) Allocate(_, _ uint64) experimental.LinearMemory {
	if m.given {
		panic("pristine: a memory was given to two modules")
	}
	m.given = true
	return m
}

// Reallocate is for the runtime. It gives the memory in its new size, or nil,
// which the guest sees as a failed memory.grow. The first call gives at least
// the image.
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

// Free is for the runtime, which calls it when the module is closed. That can
// be in the middle of a call, when the guest exits: native code and host
// functions may still hold the address. So it frees nothing; Close does. The
// memory cannot be restored any more.
func (m *Memory) Free() { m.freed = true }

// Close gives the memory back. Nothing may use it any more: the call must have
// returned and the module be closed. Closing again does nothing.
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

// Bytes is the memory in its present size, not a copy. It is valid until the
// memory grows, is restored or closed.
func (m *Memory) Bytes() []byte {
	if m.body == nil {
		return nil
	}
	return m.body.extend(m.size)[:m.size:m.size]
}

// Kept is how many bytes of private pages the memory has kept since the last
// Restore, as far as that is known: what Trim gives back.
func (m *Memory) Kept() int {
	if m.body == nil {
		return 0
	}
	return m.body.kept()
}

// Size is how large the memory is, in bytes.
func (m *Memory) Size() uint64 { return m.size }

// Peak is how large it was at its largest since the last Restore, in bytes.
func (m *Memory) Peak() uint64 { return m.peak }

// Refused is the largest size over the limit that was asked for since the last
// Restore or ForgetRefused, in bytes; 0 if none was.
func (m *Memory) Refused() uint64 { return m.refused }

// ForgetRefused sets Refused to 0, for a call that begins without a Restore.
func (m *Memory) ForgetRefused() { m.refused = 0 }
