package cli

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// admit checks a module by its structure, as the core will.
func admit(wasm []byte) (*wasmbin.Info, error) {
	return wasmbin.Admit(wasm, wasmbin.Limits{})
}

// try loads a module in the very sandbox that runners have: it compiles, starts
// and calls its example. What is found here need not be uploaded first.
func (a *app) try(src *source) (*tried, error) {
	ctx, cancel := context.WithTimeout(a.ctx, 2*time.Minute)
	defer cancel()
	// The cache is the runners' own: what is compiled here is compiled for them.
	cache := a.cacheDir()
	if cache != "" {
		cache = filepath.Join(cache, "compiled")
	}
	engine, err := sandbox.New(ctx, sandbox.Config{CacheDir: cache, Compiler: a.compiler})
	if err != nil {
		return nil, fault.Wrap(err, fault.DataDir, "the sandbox cannot be opened: %s", err).WithFix("choose another directory (runner.cache_dir)")
	}
	defer func() { _ = engine.Close(context.WithoutCancel(ctx)) }()
	r := src.request
	t, err := engine.Load(ctx, sandbox.Spec{
		Wasm: src.wasm, Limits: localLimits(src.decorators, r.GetDecorators()), Env: r.GetEnv(), Args: r.GetArgs(), Example: r.GetExample(),
		Isolation: sandbox.Isolation(project.IsolationName(r.GetIsolation())),
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Close(context.WithoutCancel(ctx)) }()
	return &tried{Report: t.Report(), Size: uint64(len(src.wasm)), HasExample: len(r.GetExample()) > 0}, nil
}

// localLimits returns what the decorators next to the service add up to; the
// others are known to the core only.
func localLimits(decorators []*ruedov1.Decorator, names []string) sandbox.Limits {
	local := slices.DeleteFunc(slices.Clone(decorators), func(d *ruedov1.Decorator) bool { return !slices.Contains(names, d.GetName()) })
	sum, _ := limits.Combine(local)
	return runner.SandboxLimits(sum)
}
