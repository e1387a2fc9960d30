package compile

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/panics"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/sandbox/compile/cache"
)

// Report is where a module's code came from and what it cost.
type Report struct {
	// Hit reports whether the code was there: nothing was compiled for this caller.
	Hit bool
	// Took is how long the caller waited.
	Took time.Duration
	// Compile is how long the compiler worked; 0 for a hit. The rest of Took is
	// waiting for a slot, the child's start and its check of the result.
	Compile time.Duration
	// Memory is the child's peak in bytes; 0 for a hit.
	Memory int64
	// Size is the size of the code, in bytes.
	Size int64
	// Key identifies the code in Config.Dir.
	Key string
}

// Prepared is a module whose code stays in the working directory until Release.
type Prepared struct {
	Report
	compiler *Compiler
	entry    *entry
}

// Prepare makes sure that authentic code of a module is where wazero finds it:
// CompileModule of a runtime with [Compiler.RuntimeConfig] then reads it
// instead of compiling. Call Release when that is done. Prepare returns when
// ctx ends; without a child, the compiler itself continues, and Close waits for
// it. All errors are [*fault.Error].
func (c *Compiler) Prepare(ctx context.Context, wasm []byte, budget Budget) (*Prepared, error) {
	began := time.Now()
	if ctx.Err() != nil {
		return nil, canceled(ctx)
	}
	if len(wasm) > maxModule {
		return nil, fault.New(fault.CompileFailed, "the module has %s, the limit is %s", text.Size(len(wasm)), text.Size(maxModule)).WithFix("make it smaller")
	}
	key := c.identity.key(wasm)
	e, how, err := c.join(ctx, job{key, wasm, budget})
	if err != nil {
		return nil, err
	}
	p := &Prepared{Report: how, compiler: c, entry: e}
	p.Key, p.Took = key, time.Since(began)
	return p, nil
}

// Release ends the use of the code. It is removed from the working
// directory when no one else needs it there. If it was just compiled, Release waits
// until it is in Config.Dir. Further calls do nothing.
func (p *Prepared) Release() {
	p.compiler.mu.Lock()
	e := p.entry
	p.entry = nil
	p.compiler.mu.Unlock()
	if e == nil {
		return
	}
	if e.stored != nil {
		<-e.stored
	}
	p.compiler.mu.Lock()
	defer p.compiler.mu.Unlock()
	p.compiler.release(e)
}

// Compile prepares a module and loads it into a runtime, which must be one with
// [Compiler.RuntimeConfig]. The caller closes the compiled module. All errors are
// [*fault.Error].
func (c *Compiler) Compile(ctx context.Context, rt wazero.Runtime, wasm []byte, budget Budget) (wazero.CompiledModule, Report, error) {
	began := time.Now()
	p, err := c.Prepare(ctx, wasm, budget)
	if err != nil {
		return nil, Report{}, err
	}
	defer p.Release()
	var m wazero.CompiledModule
	err = panics.Try(func() (err error) {
		// Without the values of ctx, because one of them makes wazero look for other
		// code.
		m, err = rt.CompileModule(context.Background(), wasm)
		return err
	})
	if err != nil {
		return nil, Report{}, unloadable(err)
	}
	p.Took = time.Since(began)
	return m, p.Report, nil
}

// unloadable is the error if the runtime cannot load code that was prepared.
func unloadable(err error) *fault.Error {
	if cache.AboutDisk(err) {
		return noDisk(err)
	}
	return internal(err, "the compiled module cannot be loaded")
}

// Stats counts since New.
type Stats struct {
	Compiled int64 // modules that were compiled
	Failed   int64 // modules that could not be compiled
	Loaded   int64 // entries that were taken from Dir
	Refused  int64 // entries of Dir that were not authentic
	Evicted  int64 // entries of Dir that were removed to make room
}

// Stats returns the counts so far.
func (c *Compiler) Stats() Stats {
	return Stats{
		Compiled: c.count.compiled.Load(),
		Failed:   c.count.failed.Load(),
		Loaded:   c.count.loaded.Load(),
		Refused:  c.sealed.Refused(),
		Evicted:  c.sealed.Evicted(),
	}
}
