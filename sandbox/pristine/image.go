package pristine

import (
	"errors"
	"fmt"
	"sync"
)

// ErrClosed is returned for anything that is already closed.
var ErrClosed = errors.New("already closed")

// Image is an immutable snapshot of a linear memory. It is safe for concurrent
// use.
type Image struct {
	size  uint64
	held  int64
	store store

	mu     sync.Mutex
	closed bool
	users  int // memories that are not closed yet
}

// NewImage copies mem, whose length must be a multiple of [WasmPage]; the
// caller can change mem afterwards. Zero pages take no space. Close must be
// called.
func NewImage(mem []byte, config Config) (*Image, error) {
	if len(mem)%WasmPage != 0 || uint64(len(mem)) > Largest {
		return nil, fmt.Errorf("a snapshot of %d bytes: the size of a linear memory is a multiple of %d up to %d",
			len(mem), WasmPage, uint64(Largest))
	}
	if config.Method > MethodPlain {
		return nil, fmt.Errorf("there is no method %d", config.Method)
	}
	store, err := openStore(mem, config.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("taking a snapshot of %d bytes: %w", len(mem), err)
	}
	return &Image{size: uint64(len(mem)), held: store.held(), store: store}, nil
}

// Size returns the size in bytes.
func (i *Image) Size() uint64 { return i.size }

// Held returns how many bytes of memory the image takes until it is closed.
// That does not include memories over it.
func (i *Image) Held() int64 { return i.held }

// Method returns how memories over the image are restored; never [MethodAuto].
func (i *Image) Method() Method { return i.store.method() }

// NewMemory returns a memory for one instance, with the image's size and bytes,
// that can grow up to limit bytes. It reserves addresses for limit and takes
// memory only for the pages that are written. Its Close must be called.
func (i *Image) NewMemory(limit uint64) (*Memory, error) {
	if err := checkLimit(limit, i.size); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, fmt.Errorf("making a memory over an image: %w", ErrClosed)
	}
	body, err := i.store.newBody(limit)
	if err != nil {
		return nil, fmt.Errorf("reserving a memory of %d bytes: %w", limit, err)
	}
	i.users++
	return &Memory{
		image:   i,
		body:    body,
		limit:   limit,
		counted: i.store.method() == MethodHotSet,
		dirty:   true, // instantiating writes outside a window
	}, nil
}

// Close stops the image from making new memories. Its bytes are freed when the
// last memory over it is closed.
func (i *Image) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil
	}
	i.closed = true
	return i.free()
}

// release is called when a memory is closed.
func (i *Image) release() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.users--
	return i.free()
}

func (i *Image) free() error {
	if !i.closed || i.users > 0 {
		return nil
	}
	return i.store.close()
}

func checkLimit(limit, size uint64) error {
	if limit > Largest || uint64(int(limit)) != limit {
		return fmt.Errorf("a limit of %d bytes: a linear memory has at most %d", limit, uint64(Largest))
	}
	if limit < size {
		return fmt.Errorf("a limit of %d bytes: the snapshot has %d already", limit, size)
	}
	return nil
}
