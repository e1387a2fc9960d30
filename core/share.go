package core

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxModules is how many modules can be in memory at the same time to be sent
// to runners. Each can have 64 MiB; further ones wait.
const maxModules = 4

// modules reads modules for runners. Runners that want the same module at the
// same time share one read of it, and its bytes.
type modules struct {
	read  func(ctx context.Context, digest string) ([]byte, error)
	slots chan struct{}

	mu     sync.Mutex
	shared map[string]*sharedModule
}

// sharedModule is a module that is in use.
type sharedModule struct {
	done chan struct{} // closed when it is read
	uses int           // guarded by modules.mu
	wasm []byte
	err  error
}

func newModules(read func(context.Context, string) ([]byte, error)) *modules {
	return &modules{read: read, slots: make(chan struct{}, maxModules), shared: make(map[string]*sharedModule)}
}

// open returns a reader of the module's bytes; the caller closes it.
func (m *modules) open(ctx context.Context, digest string) (io.ReadCloser, error) {
	for {
		s, first := m.join(digest)
		if first {
			m.load(ctx, digest, s)
		}
		select {
		case <-s.done:
		case <-ctx.Done():
			m.leave(digest, s)
			return nil, fault.FromError(ctx.Err())
		}
		if s.err == nil {
			return &moduleReader{Reader: bytes.NewReader(s.wasm), leave: sync.OnceFunc(func() { m.leave(digest, s) })}, nil
		}
		m.leave(digest, s)
		if !first && ctx.Err() == nil && (errors.Is(s.err, context.Canceled) || errors.Is(s.err, context.DeadlineExceeded)) {
			continue // the caller that read it went away
		}
		return nil, s.err
	}
}

func (m *modules) join(digest string) (s *sharedModule, first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s = m.shared[digest]
	if s == nil {
		s, first = &sharedModule{done: make(chan struct{})}, true
		m.shared[digest] = s
	}
	s.uses++
	return s, first
}

// load reads the module when there is room for it. The last user releases the
// room.
func (m *modules) load(ctx context.Context, digest string, s *sharedModule) {
	defer close(s.done)
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		s.err = ctx.Err()
	}
	if s.err == nil {
		if s.wasm, s.err = m.read(ctx, digest); s.err != nil {
			<-m.slots
		}
	}
	if s.err != nil { // the next one tries again
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.shared, digest)
	}
}

func (m *modules) leave(digest string, s *sharedModule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.uses--; s.uses > 0 || m.shared[digest] != s {
		return
	}
	delete(m.shared, digest)
	<-m.slots
}

type moduleReader struct {
	*bytes.Reader
	leave func()
}

func (r *moduleReader) Close() error {
	r.leave()
	return nil
}
