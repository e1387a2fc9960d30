// Package shelf hands out stored modules to runners, chunk by chunk, so that no
// module is in the core's memory as a whole.
//
//	s := shelf.New(shelf.Config{Open: ..., Verify: store.ReadModule})
//	packed, count, release, err := s.Chunk(ctx, digest, 0) // as it is stored
//	r, err := s.Module(ctx, digest)                        // inflated
//
// Runners that want the same chunk at the same time share one read of it: after a
// publish, all runners fetch the same module.
package shelf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"maps"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxUsed is how many chunks can be on their way to runners at the same time.
// Further ones wait in FIFO order. A slow runner has its turn for each chunk.
const maxUsed = 64

// Module is a stored module.
type Module interface {
	// Count returns the number of chunks.
	Count() int
	// Packed reads a chunk as it is stored.
	Packed(ctx context.Context, i int) ([]byte, error)
	// Plain inflates a chunk into the beginning of buf, or into a larger buffer.
	Plain(buf, packed []byte, i int) ([]byte, error)
}

// Config says where modules come from.
type Config struct {
	// Open returns a module. Required.
	Open func(ctx context.Context, digest string) (Module, error)
	// Verify reads a module as a whole; INTEGRITY if it is damaged. Required.
	Verify func(ctx context.Context, digest string) error
}

// Shelf hands out modules. Its methods can be called from many goroutines.
type Shelf struct {
	cfg       Config
	used      chan struct{} // slots
	verifying chan struct{} // a slot

	mu     sync.Mutex
	chunks map[place]*chunk
}

type place struct {
	digest string
	index  int
}

// chunk is a chunk in memory, or one that is being read.
type chunk struct {
	done   chan struct{} // closed when it is read
	uses   int           // guarded by Shelf.mu
	packed []byte
	count  int // chunks of its module
	err    error
}

// New returns a shelf.
func New(cfg Config) *Shelf {
	return &Shelf{cfg: cfg, used: make(chan struct{}, maxUsed), verifying: make(chan struct{}, 1), chunks: make(map[place]*chunk)}
}

// Verify reads a module as a whole, one at a time. INTEGRITY if it is damaged.
// Chunks that were read before are not handed out any more: the module may have
// been stored again.
func (s *Shelf) Verify(ctx context.Context, digest string) error {
	select {
	case s.verifying <- struct{}{}:
		defer func() { <-s.verifying }()
	case <-ctx.Done():
		return fault.FromError(ctx.Err())
	}
	s.mu.Lock()
	maps.DeleteFunc(s.chunks, func(at place, _ *chunk) bool { return at.digest == digest })
	s.mu.Unlock()
	return s.cfg.Verify(ctx, digest)
}

// Chunk returns a chunk of a module as it is stored, and how many the module has;
// nothing at the end of the module. The bytes are shared: do not change them, and
// call release.
func (s *Shelf) Chunk(ctx context.Context, digest string, index int) (packed []byte, count int, release func(), err error) {
	select {
	case s.used <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, nil, fault.FromError(ctx.Err())
	}
	c, err := s.get(ctx, place{digest, index})
	if err != nil {
		<-s.used
		return nil, 0, nil, err
	}
	return c.packed, c.count, sync.OnceFunc(func() { s.leave(place{digest, index}, c); <-s.used }), nil
}

// get returns a chunk that was read; the caller leaves it.
func (s *Shelf) get(ctx context.Context, at place) (*chunk, error) {
	for {
		c, first := s.join(at)
		if first {
			s.load(ctx, at, c)
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			s.leave(at, c)
			return nil, fault.FromError(ctx.Err())
		}
		if c.err == nil {
			return c, nil
		}
		s.leave(at, c)
		if !first && ctx.Err() == nil && (errors.Is(c.err, context.Canceled) || errors.Is(c.err, context.DeadlineExceeded)) {
			continue // the caller that read it went away
		}
		return nil, c.err
	}
}

func (s *Shelf) join(at place) (c *chunk, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c = s.chunks[at]
	if c == nil {
		c, first = &chunk{done: make(chan struct{})}, true
		s.chunks[at] = c
	}
	c.uses++
	return c, first
}

// load reads a chunk.
func (s *Shelf) load(ctx context.Context, at place, c *chunk) {
	defer close(c.done)
	var m Module
	if m, c.err = s.cfg.Open(ctx, at.digest); c.err == nil {
		switch c.count = m.Count(); {
		case at.index < 0 || at.index > c.count:
			c.err = fault.New(fault.RequestInvalid, "module %s has %d chunks, there is no chunk %d", at.digest, c.count, at.index)
		case at.index < c.count:
			c.packed, c.err = m.Packed(ctx, at.index)
		}
	}
	if c.err != nil { // the next one tries again
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.chunks[at] == c {
			delete(s.chunks, at)
		}
	}
}

func (s *Shelf) leave(at place, c *chunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.uses--; c.uses == 0 && s.chunks[at] == c {
		delete(s.chunks, at)
	}
}

// Module returns a reader of a module's bytes, which holds one chunk at a time.
// It fails with INTEGRITY at the end if the bytes do not match the digest. The
// caller closes it.
func (s *Shelf) Module(ctx context.Context, digest string) (io.ReadCloser, error) {
	m, err := s.cfg.Open(ctx, digest)
	if err != nil {
		return nil, err
	}
	return &reader{s: s, ctx: ctx, digest: digest, module: m, hash: sha256.New()}, nil
}

type reader struct {
	s      *Shelf
	ctx    context.Context
	digest string
	module Module
	hash   hash.Hash
	next   int    // chunk
	buf    []byte // reused
	rest   []byte // of buf
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.next == r.module.Count() {
			return 0, r.end()
		}
		packed, _, release, err := r.s.Chunk(r.ctx, r.digest, r.next)
		if err != nil {
			return 0, err
		}
		r.buf, err = r.module.Plain(r.buf, packed, r.next)
		release()
		if err != nil {
			return 0, r.wrong(err)
		}
		r.next++
		r.rest = r.buf
		r.hash.Write(r.rest)
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// end returns io.EOF if the bytes match the digest.
func (r *reader) end() error {
	if hex.EncodeToString(r.hash.Sum(nil)) == r.digest {
		return io.EOF
	}
	return r.wrong(fault.New(fault.Integrity, "module %s is damaged in the store", r.digest).WithFix("upload the module again"))
}

// wrong makes the store notice that a module is damaged.
func (r *reader) wrong(err error) error {
	if verr := r.s.Verify(r.ctx, r.digest); verr != nil {
		return verr
	}
	return err
}

func (*reader) Close() error { return nil }

var (
	_ io.ReadCloser        = (*reader)(nil)
	_ executor.ChunkSource = (*Shelf)(nil)
)
