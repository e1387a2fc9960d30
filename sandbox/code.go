package sandbox

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// code is the compiled form of an instrumented module. All templates whose
// modules are the same after instrumentation share one: it is most of what a
// template holds.
type code struct {
	key     [sha256.Size]byte
	done    chan struct{} // closed when one of these is set
	module  wazero.CompiledModule
	failure *fault.Error

	// Guarded by Engine.mu.
	bytes int64
	users int
}

// codeOf returns the compiled form of an instrumented module, and how long that
// took. The caller must call [Engine.release].
//
// One load at a time compiles a module. Not only to save work: the runtime lets
// others see what it loads before that is complete.
func (e *Engine) codeOf(ctx context.Context, wasm []byte) (*code, time.Duration, *fault.Error) {
	began := time.Now()
	key := sha256.Sum256(wasm)
	for {
		c, first := e.share(key)
		if first {
			failure := e.fill(ctx, c, wasm)
			return c, time.Since(began), failure
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			failure := fault.Wrap(context.Cause(ctx), fault.Canceled, "nobody waits for the module to be compiled any more")
			if err := e.release(context.WithoutCancel(ctx), c); err != nil {
				e.log.Error("closing a compiled module failed", "error", err)
			}
			return nil, 0, failure
		}
		if c.module != nil {
			return c, time.Since(began), nil
		}
		if c.failure != nil && c.failure.Reason != fault.Canceled {
			failure := *c.failure
			return nil, 0, &failure
		}
		// The other load was given up; this one was not.
	}
}

// share returns the code of a module with one user more. If it is new, the caller
// must fill it.
func (e *Engine) share(key [sha256.Size]byte) (c *code, first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c = e.codes[key]
	if first = c == nil; first {
		c = &code{key: key, done: make(chan struct{})}
		e.codes[key] = c
	}
	c.users++
	return c, first
}

// fill compiles.
func (e *Engine) fill(ctx context.Context, c *code, wasm []byte) *fault.Error {
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if c.module == nil {
			delete(e.codes, c.key)
		}
		close(c.done)
	}()
	m, size, failure := e.compile(ctx, wasm)
	e.mu.Lock()
	defer e.mu.Unlock()
	// The runtime keeps the decoded module next to the native code: the bytes of
	// its functions and tables of about the same size.
	c.module, c.bytes, c.failure = m, size+2*int64(len(wasm)), failure
	return failure
}

// release gives up code. The last user closes it.
func (e *Engine) release(ctx context.Context, c *code) error {
	e.mu.Lock()
	c.users--
	m := c.module
	if c.users > 0 {
		m = nil
	}
	if m != nil {
		delete(e.codes, c.key)
	}
	e.mu.Unlock()
	if m == nil {
		return nil
	}
	return m.Close(ctx)
}

// Held is what an engine has in memory for templates that are open.
type Held struct {
	Templates int
	// Codes is the number of compiled modules that the templates share.
	Codes int
	// Bytes of compiled modules, snapshots and idle instances. It is an estimate;
	// what calls in flight use is not in it.
	Bytes int64
}

// Held returns what the templates of the engine hold at this moment. Each
// compiled module counts once.
func (e *Engine) Held() Held {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := Held{Templates: len(e.templates), Codes: len(e.codes)}
	for _, c := range e.codes {
		h.Bytes += c.bytes
	}
	for t := range e.templates {
		h.Bytes += t.Held()
	}
	return h
}

// templateBytes is about what a template takes besides its snapshot.
const templateBytes = 32 << 10

// instanceBytes is about what an idle instance takes besides its memory and
// tables: the runtime's objects and the top of its stack.
const instanceBytes = 64 << 10

// Held returns how many bytes the template has for itself: its snapshot and
// its idle instances. Compiled code, which templates share, is not in it.
func (t *Template) Held() int64 {
	idle, retained := t.pool.held()
	return templateBytes + t.image.Held() + retained + int64(idle)*(instanceBytes+8*int64(t.rewritten.TableMin))
}
