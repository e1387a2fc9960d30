package source

import (
	"context"
	"path/filepath"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// Admit checks the structure of a module, as the core will.
func Admit(s *session.Session, wasm []byte) (*wasmbin.Info, error) {
	return wasmbin.Admit(wasm, s.Settings.Module.Limits())
}

// Try loads the module in the sandbox that runners have: compiles it, starts it
// and calls its example. A mistake that is found here costs no upload.
func (src *Source) Try(s *session.Session) (*Report, error) {
	ctx, cancel := context.WithTimeout(s.Ctx, 2*time.Minute)
	defer cancel()
	// The cache is the runners' own: code compiled here is compiled for them.
	cache := s.CacheDir()
	if cache != "" {
		cache = filepath.Join(cache, "compiled")
	}
	engine, err := sandbox.New(ctx, sandbox.Config{CacheDir: cache, Modules: s.Settings.Module.Limits(), Compiler: s.Compiler, CompileTime: s.Settings.Runner.CompileTime})
	if err != nil {
		return nil, fault.Wrap(err, fault.DataDir, "the sandbox cannot be opened: %s", err).WithFix("choose another directory (runner.cache_dir)")
	}
	defer func() { _ = engine.Close(context.WithoutCancel(ctx)) }()
	r := src.Request
	t, err := engine.Load(ctx, sandbox.Spec{
		Wasm: src.Wasm, Limits: src.limits(), Env: r.GetEnv(), Args: r.GetArgs(), Example: r.GetExample(),
		Isolation: sandbox.Isolation(project.IsolationName(r.GetIsolation())),
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Close(context.WithoutCancel(ctx)) }()
	report := &Report{Report: t.Report(), Size: uint64(len(src.Wasm)), HasExample: len(r.GetExample()) > 0}
	if report.Example != nil {
		s.Warnf("the service refuses its example: %s", output.Safe(report.Example.Message))
	}
	return report, nil
}
