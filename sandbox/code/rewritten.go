package code

import (
	"crypto/sha256"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/sandbox/instrument"
	"github.com/ruedo-dev/ruedo/sandbox/limit"
	"github.com/ruedo-dev/ruedo/sandbox/pristine"
)

// rewriting is all that a rewritten module depends on.
type rewriting struct {
	module [sha256.Size]byte
	memory uint64
}

// Rewritten is a module that was admitted and instrumented. It is shared: do not
// change it.
type Rewritten struct {
	Info   *wasmbin.Info
	Result instrument.Result
	// Failure is why there is neither; nil if there are both.
	Failure *fault.Error

	once  sync.Once
	bytes int64
	users int // guarded by Modules.mu
}

// Rewrite admits a module, and instruments it for a limit of memory in bytes, in
// whole pages. The result stays for others until done. The module must not be
// changed.
func (s *Modules) Rewrite(wasm []byte, memory uint64) (r *Rewritten, done func()) {
	key := rewriting{sha256.Sum256(wasm), memory}
	s.mu.Lock()
	r = s.rewritten[key]
	if r == nil {
		r = &Rewritten{bytes: 2 * int64(len(wasm))} // the code, as it was and as it is
		s.rewritten[key] = r
	}
	r.users++
	s.mu.Unlock()
	r.once.Do(func() { r.make(wasm, uint32(memory/limit.Page), s.cfg.Limits) })
	return r, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.users--; r.users == 0 {
			delete(s.rewritten, key)
		}
	}
}

func (r *Rewritten) make(wasm []byte, pages uint32, admitted wasmbin.Limits) {
	admitted.MemoryPages = pages
	info, err := wasmbin.Admit(wasm, admitted)
	if err != nil {
		r.Failure = fault.FromError(err)
		return
	}
	result, err := instrument.Rewrite(wasm, instrument.Options{
		Meter:          true,
		MemoryMaxPages: pages,
		// The memory itself refuses sizes above the limit, and records them; growing
		// by a page beyond it is also how it shrinks again.
		MemorySlackPages: pristine.Largest / limit.Page,
		TableMax:         limit.MaxTable,
	})
	if err != nil {
		r.Failure = fault.FromError(err)
		return
	}
	r.Info, r.Result = info, *result
}
