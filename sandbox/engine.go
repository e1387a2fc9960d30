package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/inflight"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/sandbox/code"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
	"github.com/ruedo-dev/ruedo/sandbox/fuel"
	"github.com/ruedo-dev/ruedo/sandbox/hostcall"
	"github.com/ruedo-dev/ruedo/sandbox/stack"
)

// Config of an engine. The zero value is ready to use.
type Config struct {
	// CacheDir keeps compiled modules between runs. It is made with mode 0700,
	// and must not be writable by others: native code is read from it. Empty means
	// that they are kept until Close.
	CacheDir string
	// CacheSize bounds what CacheDir keeps, in bytes; the least recently used code
	// goes first. 0 means 1 GiB.
	CacheSize int64
	// Needed returns the keys of code that goes only when CacheDir has no other;
	// see [Template.CodeKey]. It is called when there is something to remove. Nil:
	// there is none.
	Needed func() map[string]bool
	// Compiler starts the process that compiles modules: a program and arguments
	// that do nothing but call [CompileChild], such as [CompilerCommand] returns.
	// Empty means that modules are compiled in this process, and that nothing
	// bounds what a hostile one does to the compiler.
	Compiler []string
	// Modules bounds the modules that are loaded; their memory is bounded by their
	// [Limits]. A zero field means its default.
	Modules wasmbin.Limits
	// CompileTime is the processor time that compiling a module can take, plus an
	// eighth for each MiB of its code. 0 means 12 s.
	CompileTime time.Duration
	// MaxIdle is how many idle instances one template keeps, and eight times as many of kind
	// http; those that no call needs for a while are closed. 0 means twice the processors.
	MaxIdle int
	// MaxRetainedBytes is how many bytes the idle instances of all templates can
	// retain of the pages that their calls wrote, so that the next call does not have
	// to ask for them; beyond it they release them. 0 means 256 MiB.
	MaxRetainedBytes int64
	// CPUSlots bound how many guests of this process run at a time. Nil means slots
	// for the guests of this engine alone.
	CPUSlots *CPUSlots
	// Logger receives what concerns the host: a broken cache, a bug in a host
	// function. Nil discards it.
	Logger *slog.Logger
}

// RuntimeConfig is what modules are compiled for, here and in the compiler's
// child. Debug information is the guest's own and expensive to read: traces have
// function names, not lines.
func RuntimeConfig() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst).
		WithDebugInfoEnabled(false)
}

// CompileChild is all that the compiler's child process does; see
// Config.Compiler. It returns the exit code.
func CompileChild(stdin io.Reader, stdout io.Writer) int {
	return compile.Child(stdin, stdout, RuntimeConfig)
}

// CompilerCommand returns the command that starts this same program again with
// some arguments, as the compiler's child; see Config.Compiler.
func CompilerCommand(args ...string) ([]string, error) { return compile.Self(args...) }

// The garbage of loads and of calls with large inputs or outputs is returned to
// the system after a while without any. The collector would keep it for minutes.
const (
	large      = 256 << 10
	quietAfter = time.Second
)

// sweepEvery is how often instances that no call needs are closed.
const sweepEvery = 10 * time.Second

// Engine compiles modules and holds what all of them share.
type Engine struct {
	cfg      Config
	log      *slog.Logger
	runtime  wazero.Runtime
	compiler *compile.Compiler
	modules  *code.Modules // in memory
	host     *hostcall.Host
	janitor  sync.WaitGroup
	stop     chan struct{}  // ends the janitor
	inflight inflight.Group // loads
	once     sync.Once      // of the last step of Close
	closed   error          // its error

	retained atomic.Int64 // bytes that idle instances retain
	stacks   stack.Pool
	quiet    *time.Timer // releases the garbage of loads and large calls

	mu        sync.Mutex
	templates map[*Template]struct{}
}

// New returns an engine. It starts a goroutine that closes idle instances; Close
// ends it.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.MaxIdle <= 0 {
		cfg.MaxIdle = 2 * runtime.GOMAXPROCS(0)
	}
	if cfg.MaxRetainedBytes <= 0 {
		cfg.MaxRetainedBytes = 256 << 20
	}
	if cfg.CPUSlots == nil {
		cfg.CPUSlots = NewCPUSlots()
	}
	e := &Engine{cfg: cfg, log: cfg.Logger, host: hostcall.NewHost(), templates: make(map[*Template]struct{}), stop: make(chan struct{})}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if e.compiler, err = compile.New(compile.Config{Runtime: RuntimeConfig, Command: cfg.Compiler, CPU: max(cfg.CompileTime, 0), Dir: cfg.CacheDir, MaxSize: cfg.CacheSize, Needed: cfg.Needed, Logger: e.log}); err != nil {
		return nil, err
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, e.compiler.RuntimeConfig())
	e.modules = code.New(code.Config{Compiler: e.compiler, Runtime: e.runtime, Limits: cfg.Modules, Logger: e.log})
	for _, instantiate := range []func(context.Context, wazero.Runtime) error{e.host.Instantiate, fuel.Instantiate} {
		if err := instantiate(ctx, e.runtime); err != nil {
			return nil, errors.Join(fmt.Errorf("host functions: %w", err), e.runtime.Close(ctx), e.compiler.Close(ctx))
		}
	}
	e.quiet = time.AfterFunc(time.Hour, debug.FreeOSMemory)
	e.quiet.Stop()
	e.janitor.Go(e.sweep)
	return e, nil
}

// Ready says that a module is about to be expected or loaded: the process that
// compiles it starts now.
func (e *Engine) Ready() { e.compiler.Ready() }

// Expect compiles a module that is about to be loaded, as [Engine.Load] does, and
// holds the code until ctx ends. A Load of the same module with the same limit of
// memory shares it.
func (e *Engine) Expect(ctx context.Context, wasm []byte, l Limits) {
	if e.inflight.Enter() {
		defer e.inflight.Leave()
		e.modules.Expect(ctx, wasm, l.WithDefaults().Memory)
	}
}

// sweep closes instances that no call needs, until the engine is closed.
func (e *Engine) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-e.stop:
			return
		}
		e.mu.Lock()
		open := slices.Collect(maps.Keys(e.templates))
		e.mu.Unlock()
		for _, t := range open {
			if !t.inflight.Enter() {
				continue
			}
			for _, i := range t.pool.sweep() {
				i.close()
			}
			t.inflight.Leave()
		}
	}
}

// Close closes every template and waits for the calls in flight. If ctx ends
// sooner, Close returns its error and can be called again. Afterwards Load and
// Call fail with [ErrClosed].
func (e *Engine) Close(ctx context.Context) error {
	if err := e.inflight.Wait(ctx); err != nil {
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
	e.once.Do(func() {
		e.quiet.Stop()
		close(e.stop)
		e.janitor.Wait()
		e.closed = errors.Join(e.runtime.Close(ctx), e.compiler.Close(ctx))
		e.stacks.Close()
	})
	return e.closed
}

// ErrClosed is the cause if a template or an engine was closed before.
var ErrClosed = errors.New("the sandbox is closed")

func closedError(what string) *fault.Error {
	return fault.Wrap(ErrClosed, fault.Internal, "the %s is closed", what)
}
