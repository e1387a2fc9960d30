package runner

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/runner/modules"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// engine is the sandbox of one runner, or of several in one process, and the
// modules that they have fetched.
type engine struct {
	*sandbox.Engine
	modules *modules.Cache

	mu    sync.Mutex
	users []*plans // of each runner
}

// newEngine opens a sandbox whose compiled code is kept below dir, as the modules
// are.
func newEngine(ctx context.Context, cfg Config, dir string) (*engine, error) {
	e := &engine{}
	var err error
	e.modules, err = modules.Open(modules.Config{
		Dir: filepath.Join(dir, "modules"), MaxBytes: cfg.CacheBytes / 4, MaxModule: cfg.Modules.WithDefaults().Size,
		Needed: func() map[string]bool { return e.needed(func(f files) string { return f.module }) },
		Rate:   max(cfg.ModuleRate, 0), Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	e.Engine, err = sandbox.New(context.WithoutCancel(ctx), sandbox.Config{
		CacheDir: filepath.Join(dir, "compiled"), CacheSize: cfg.CacheBytes - cfg.CacheBytes/4, Needed: func() map[string]bool { return e.needed(func(f files) string { return f.code }) },
		Modules: cfg.Modules, Compiler: cfg.Compiler, CompileTime: cfg.CompileTime, Logger: cfg.Logger,
	})
	if err != nil {
		e.modules.Close()
		return nil, fault.Wrap(err, fault.DataDir, "the sandbox cannot be opened: %s", err).WithFix("choose another directory (runner.cache_dir)")
	}
	return e, nil
}

// Close is called when no runner uses it any more.
func (e *engine) Close(ctx context.Context) error {
	e.modules.Close()
	return e.Engine.Close(ctx)
}

// enter adds the plans of a runner until leave is called.
func (e *engine) enter(p *plans) (leave func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.users = append(e.users, p)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.users = slices.DeleteFunc(e.users, func(q *plans) bool { return q == p })
	}
}

// needed returns the files that live services need, on any runner.
func (e *engine) needed(of func(files) string) map[string]bool {
	e.mu.Lock()
	users := slices.Clone(e.users)
	e.mu.Unlock()
	keys := make(map[string]bool)
	for _, p := range users {
		maps.Copy(keys, p.needed(of))
	}
	return keys
}

// Expect compiles a module before a core asks for it, and holds the code until ctx
// ends; see sandbox.Engine.
func (r *Runner) Expect(ctx context.Context, wasm []byte, l sandbox.Limits) {
	r.engine.Expect(ctx, wasm, l)
}

// Ready says that a module is about to be expected; see sandbox.Engine.
func (r *Runner) Ready() { r.engine.Ready() }
