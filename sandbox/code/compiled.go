package code

import (
	"context"
	"crypto/sha256"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

// Module is a compiled module in memory, until its last user releases it.
type Module struct {
	of      *Modules
	key     [sha256.Size]byte
	budget  compile.Budget
	done    chan struct{} // closed when one of these is set
	code    wazero.CompiledModule
	failure *fault.Error

	// Guarded by Modules.mu.
	entry string // key in the compiler's directory
	bytes int64
	users int
}

// Load returns the compiled form of a module. The caller must release it.
//
// Only one load at a time compiles a module. That is not only to save work: the
// runtime exposes what it loads before that is complete.
func (s *Modules) Load(ctx context.Context, wasm []byte, budget compile.Budget) (*Module, *fault.Error) {
	key := sha256.Sum256(wasm)
	for {
		m, first := s.join(key, budget)
		if first {
			if failure := s.fill(ctx, m, wasm); failure != nil {
				return nil, failure
			}
			return m, nil
		}
		select {
		case <-m.done:
		case <-ctx.Done():
			if err := m.Release(context.WithoutCancel(ctx)); err != nil {
				s.cfg.Logger.Error("closing a compiled module failed", "error", err)
			}
			return nil, fault.Wrap(context.Cause(ctx), fault.Canceled, "nobody waits for the module any more")
		}
		if m.code != nil {
			return m, nil
		}
		late := m.failure != nil && m.failure.Reason == fault.CompileTimeout && m.budget < budget
		if m.failure != nil && m.failure.Reason != fault.Canceled && !late {
			failure := *m.failure
			return nil, &failure
		}
		// The other load was cancelled or had a smaller budget than this one.
	}
}

// join returns a module with one more user. If it is new, the caller must fill
// it.
func (s *Modules) join(key [sha256.Size]byte, budget compile.Budget) (m *Module, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m = s.compiled[key]
	if first = m == nil; first {
		m = &Module{of: s, key: key, budget: budget, done: make(chan struct{})}
		s.compiled[key] = m
	}
	m.users++
	return m, first
}

// fill compiles.
func (s *Modules) fill(ctx context.Context, m *Module, wasm []byte) *fault.Error {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if m.code == nil {
			delete(s.compiled, m.key)
		}
		close(m.done)
	}()
	code, report, err := s.cfg.Compiler.Compile(ctx, s.cfg.Runtime, wasm, m.budget)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		m.failure = fault.FromError(err)
		return m.failure
	}
	// The runtime retains the decoded module next to the native code: the bytes of
	// its functions and tables of about the same size.
	m.code, m.entry, m.bytes = code, report.Key, report.Size+2*int64(len(wasm))
	return nil
}

// Code returns the module for the runtime.
func (m *Module) Code() wazero.CompiledModule { return m.code }

// Key identifies the code in the compiler's directory; see compile.Config.
func (m *Module) Key() string {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	return m.entry
}

// Release ends one use. The last one closes the module, whose instances must be
// closed before.
func (m *Module) Release(ctx context.Context) error {
	m.of.mu.Lock()
	m.users--
	code := m.code
	if m.users > 0 {
		code = nil
	}
	if code != nil {
		delete(m.of.compiled, m.key)
	}
	m.of.mu.Unlock()
	if code == nil {
		return nil
	}
	return code.Close(ctx)
}

// Held returns how many modules are in memory, and about how many bytes they
// take.
func (s *Modules) Held() (modules int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rewritten {
		bytes += r.bytes
	}
	for _, m := range s.compiled {
		bytes += m.bytes
	}
	return len(s.compiled), bytes
}
