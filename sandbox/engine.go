package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Config of an engine. The zero value is good.
type Config struct {
	// CacheDir keeps compiled modules between runs. It is made with mode 0700,
	// and must not be writable by others: native code is read from it. Empty means
	// a cache in memory.
	CacheDir string
	// Logger gets what concerns the host: a broken cache, a fault of a host
	// function. Nil discards.
	Logger *slog.Logger
}

// Engine compiles modules and holds what all of them share.
type Engine struct {
	cfg     Config
	log     *slog.Logger
	runtime wazero.Runtime
	cache   wazero.CompilationCache
	born    time.Time // zero of the guests' monotonic clock
	gate    gate

	mu        sync.Mutex
	templates map[*Template]struct{}

	releasing sync.Mutex
	released  time.Time // when release last began
}

// New makes an engine. It starts nothing in the background.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg, log: cfg.Logger, born: time.Now(), templates: make(map[*Template]struct{})}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.cache = wazero.NewCompilationCache()
	if cfg.CacheDir != "" {
		if err := private(cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("cache of compiled modules: %w", err)
		}
		var err error
		if e.cache, err = wazero.NewCompilationCacheWithDir(cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("cache of compiled modules: %w", err)
		}
	}
	// Debug information is the guest's own and expensive to read: traces have
	// function names, not lines.
	e.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithCompilationCache(e.cache).
		WithDebugInfoEnabled(false).
		WithCloseOnContextDone(true))
	for _, instantiate := range []func(context.Context, wazero.Runtime) error{hostModule, e.wasiModule} {
		if err := instantiate(ctx, e.runtime); err != nil {
			return nil, errors.Join(fmt.Errorf("host functions: %w", err), e.runtime.Close(ctx), e.cache.Close(ctx))
		}
	}
	return e, nil
}

// private makes a directory that only this user can enter.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// Close closes every template and waits for the calls in flight. If ctx ends
// sooner, Close gives its error and may be called again. Afterwards Load and
// Call fail with [ErrClosed].
func (e *Engine) Close(ctx context.Context) error {
	if err := e.gate.close(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	var open []*Template
	for t := range e.templates {
		open = append(open, t)
	}
	e.mu.Unlock()
	for _, t := range open {
		if err := t.Close(ctx); err != nil {
			return err
		}
	}
	return errors.Join(e.runtime.Close(ctx), e.cache.Close(ctx))
}

// compile gives the compiled form of an admitted module.
func (e *Engine) compile(ctx context.Context, wasm []byte) (wazero.CompiledModule, *Error) {
	var m wazero.CompiledModule
	err := guard(func() (err error) {
		m, err = e.runtime.CompileModule(ctx, wasm)
		return err
	})
	if err != nil && e.cfg.CacheDir != "" {
		// A damaged entry, or one that could not be written, is not the module's
		// fault: without it, or from memory, the second try does not meet it.
		if strings.Contains(err.Error(), "compilationcache") {
			e.log.Warn("the cache of compiled modules is damaged and is emptied", "dir", e.cfg.CacheDir, "error", err)
			e.emptyCache()
		}
		err = guard(func() (err error) {
			m, err = e.runtime.CompileModule(ctx, wasm)
			return err
		})
	}
	if p, ok := errors.AsType[*panicError](err); ok {
		e.log.Error("compiling a module panicked", "panic", p.value, "stack", string(p.stack))
		return nil, newError(ReasonInternal, "the module could not be compiled").cause(err)
	}
	if err != nil {
		return nil, newError(ReasonCompile, "the module is not valid: %s", clean(err.Error(), 400)).cause(err).
			fix("build it for WebAssembly 2.0 (wasip1), without proposals such as threads, tail calls or exceptions")
	}
	return m, nil
}

func (e *Engine) emptyCache() {
	entries, err := filepath.Glob(filepath.Join(e.cfg.CacheDir, "wazero-*", "*"))
	if err != nil {
		return
	}
	for _, f := range entries {
		if err := os.Remove(f); err != nil {
			e.log.Warn("cannot remove a cached module", "error", err)
		}
	}
}

// release gives the memory of an overflown guest stack back to the system:
// some hundred MB that the garbage collector would keep for minutes. The one
// whose guest did it waits for it; it costs a fraction of what the overflow did.
func (e *Engine) release() {
	asked := time.Now()
	e.releasing.Lock()
	defer e.releasing.Unlock()
	if e.released.After(asked) {
		return // one that began later has done it
	}
	e.released = time.Now()
	debug.FreeOSMemory()
}

// guard is the last resort against a panic in the runtime.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return f()
}

type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }
