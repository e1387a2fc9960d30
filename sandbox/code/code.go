// Package code keeps the modules of one runtime: rewritten while they are loaded,
// and compiled as long as somebody uses them. Whoever asks for what is there, or
// being made, shares it.
//
//	modules := code.New(code.Config{Compiler: compiler, Runtime: runtime, Logger: log})
//	rewritten, done := modules.Rewrite(wasm, memory)
//	defer done()
//	module, err := modules.Load(ctx, rewritten.Result.Wasm, compile.Usual)
//	defer module.Release(ctx)
//
// [Modules.Expect] does all of that ahead of others who will.
package code

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"sync"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
)

// Config says how modules are made. All fields but Limits are required.
type Config struct {
	Compiler *compile.Compiler
	// Runtime is one with the configuration of the compiler.
	Runtime wazero.Runtime
	// Limits bound the modules that are admitted, but for their memory.
	Limits wasmbin.Limits
	Logger *slog.Logger
}

// Modules are those of one runtime. They are safe for concurrent use.
type Modules struct {
	cfg Config

	mu        sync.Mutex
	rewritten map[rewriting]*Rewritten
	compiled  map[[sha256.Size]byte]*Module
}

// New returns Modules without any.
func New(cfg Config) *Modules {
	return &Modules{cfg: cfg, rewritten: make(map[rewriting]*Rewritten), compiled: make(map[[sha256.Size]byte]*Module)}
}

// Expect rewrites and compiles a module that is about to be loaded, and holds it
// until ctx ends. Whoever loads it meanwhile gets the error if that fails.
func (s *Modules) Expect(ctx context.Context, wasm []byte, memory uint64) {
	rewritten, done := s.Rewrite(wasm, memory)
	defer done()
	if rewritten.Failure != nil {
		return
	}
	module, failure := s.Load(ctx, rewritten.Result.Wasm, compile.Usual)
	if failure != nil {
		return
	}
	<-ctx.Done()
	if err := module.Release(context.WithoutCancel(ctx)); err != nil {
		s.cfg.Logger.Error("closing a compiled module failed", "error", err)
	}
}
