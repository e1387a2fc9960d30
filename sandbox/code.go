package sandbox

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/tetratelabs/wazero"
)

// code is the compiled form of an instrumented module. All templates whose
// modules are the same after instrumentation share one: it is most of what a
// template holds.
type code struct {
	key    [sha256.Size]byte
	module wazero.CompiledModule
	bytes  int64
	users  int // guarded by Engine.mu
}

// codeOf returns the compiled form of an instrumented module, and how long that
// took. The caller must call [Engine.release].
func (e *Engine) codeOf(ctx context.Context, wasm []byte) (*code, time.Duration, *Error) {
	began := time.Now()
	key := sha256.Sum256(wasm)
	if c := e.share(key); c != nil {
		return c, time.Since(began), nil
	}
	m, size, took, failure := e.compile(ctx, wasm)
	if failure != nil {
		return nil, 0, failure
	}
	// The runtime keeps the decoded module next to the native code: the bytes of
	// its functions and tables of about the same size.
	mine := &code{key: key, module: m, bytes: size + 2*int64(len(wasm)), users: 1}
	e.mu.Lock()
	theirs := e.codes[key]
	if theirs != nil { // of a load that was faster
		theirs.users++
	} else {
		e.codes[key] = mine
	}
	e.mu.Unlock()
	if theirs == nil {
		return mine, took, nil
	}
	if err := m.Close(ctx); err != nil {
		e.log.Error("closing a compiled module failed", "error", err)
	}
	return theirs, took, nil
}

// share returns code that is there, with one user more, or nil.
func (e *Engine) share(key [sha256.Size]byte) *code {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.codes[key]
	if c != nil {
		c.users++
	}
	return c
}

// release gives up code. The last user closes it.
func (e *Engine) release(ctx context.Context, c *code) error {
	e.mu.Lock()
	c.users--
	last := c.users == 0
	if last {
		delete(e.codes, c.key)
	}
	e.mu.Unlock()
	if !last {
		return nil
	}
	return c.module.Close(ctx)
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
	idle, kept := t.pool.held()
	return templateBytes + t.image.Held() + kept + int64(idle)*(instanceBytes+8*int64(t.rewritten.TableMin))
}
