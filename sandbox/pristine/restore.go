package pristine

import (
	"errors"
	"fmt"
	"time"
)

// Grower is the part of the runtime's api.Memory that Restore needs.
type Grower interface {
	Grow(deltaPages uint32) (previousPages uint32, ok bool)
}

var (
	errTemplate = errors.New("a template memory has no snapshot to go back to")
	errRunning  = errors.New("a call is still running: End was not called")
	errFreed    = errors.New("the module was closed")
)

// Restore brings the memory back to the size and the bytes of its image. module
// is the instance's api.Memory, through which growth is undone. After an error,
// which does not depend on what the guest wrote, the instance must not be used
// again.
//
// Globals and tables are not part of the memory and are not restored.
func (m *Memory) Restore(module Grower) (Cost, error) {
	switch {
	case m.image == nil:
		return Cost{}, errTemplate
	case m.running:
		return Cost{}, errRunning
	case m.freed:
		return Cost{}, errFreed
	}
	began := time.Now()
	if m.size > m.image.size {
		if err := m.shrink(module); err != nil {
			return Cost{}, err
		}
	}
	dirty := m.dirty
	m.dirty = true // until it is done
	cost, err := m.body.restore(dirty, m.peak)
	if err != nil {
		return Cost{}, fmt.Errorf("restoring a memory of %d bytes: %w", m.image.size, err)
	}
	m.dirty = false
	m.peak, m.refused = m.size, 0
	cost.Took = time.Since(began)
	return cost, nil
}

// shrink makes the runtime ask for a new size and returns the image's. There is
// no other way, because WebAssembly memories cannot shrink.
func (m *Memory) shrink(module Grower) error {
	m.shrinking = true
	_, ok := module.Grow(1)
	m.shrinking = false
	if !ok || m.size != m.image.size {
		return fmt.Errorf("the runtime does not let a memory of %d bytes shrink to %d: its maximum must be a page more than the limit of %d",
			m.size, m.image.size, m.limit)
	}
	return nil
}

// Trim returns the private pages of an idle memory to the system. The next
// calls take page faults again. Call it between Restore and Begin.
func (m *Memory) Trim() error {
	switch {
	case m.image == nil:
		return errTemplate
	case m.running:
		return errRunning
	case m.body == nil:
		return errFreed
	}
	if err := m.body.drop(); err != nil {
		m.dirty = true
		return fmt.Errorf("trimming a memory of %d bytes: %w", m.image.size, err)
	}
	return nil
}
