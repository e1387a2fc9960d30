// Package compile turns modules into native code without trusting them. The
// compiler runs in a child process with limits, and compiled code from the disk
// is executed only if it is authentic.
//
// Start with [New], then [Compiler.Compile]. The program that is started as the
// child calls [Child] and nothing else.
//
// # A hostile module
//
// A few bytes of WebAssembly can keep wazero's compiler busy for minutes or
// make it exhaust all memory, and it cannot be interrupted. So it runs in a
// process of its own: with limits on memory, CPU time and files that it sets
// before it sees the module, at low priority, with an empty environment, first
// to be killed when the system runs out of memory, and killed at the wall-clock
// limit. The child also reads its result back, as the parent will: a module
// that is cheap to compile but expensive to load fails there as well. The
// parent decodes only what a child has decoded within limits.
//
// # Authentic code
//
// Compiled modules are stored in Config.Dir, sealed with a secret in
// Config.Private (package cache). Code that is not authentic is compiled again.
//
// # What an entry is bound to
//
// Its key covers the module's SHA-256, wazero's version, the architecture and
// CPU features, the runtime's configuration and Go's version: after a change of
// any of them, modules are compiled again. The child must agree in all of them,
// so that a program that was replaced on disk while it runs is detected.
//
// # Concurrency
//
// Everything is safe for concurrent use, also by several processes on one Dir.
// A module is compiled once, however many callers ask for it: those of other
// compilers on the same directories wait, too, unless it takes long. A caller that
// gives up leaves it to the others, and the last one to give up kills the
// child. The next start cleans up whatever a crash leaves.
//
// # A disk that fails
//
// A missing directory is created again, and if the disk is full, half of the
// entries in Dir are removed. While Dir cannot be used, modules are compiled
// but not stored. While Private cannot be used, nothing can be compiled: the
// error is RUNNER_DISK until it can be used again. Each change is one line in
// the log, with the path; errors do not name it.
//
// # Systems
//
// On Linux and macOS the child has limits. Elsewhere, and without a Command,
// modules are compiled in this process: then nothing bounds the compiler.
package compile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/sandbox/compile/cache"
	"github.com/ruedo-dev/ruedo/sandbox/compile/failures"
)

// The limits of a zero Config. A Go service of 4 MB takes 1 s of CPU time and
// 100 MB of memory on a machine of 2025, one of 15 MB takes 3.2 s and 260 MB.
const (
	// DefaultCPU ends a small hostile module if the machine is idle: within some
	// 13 s of wall-clock time.
	DefaultCPU = 12 * time.Second
	// DefaultTimeout is generous, so that an honest module does not fail because
	// calls, which have priority, keep the machine busy.
	DefaultTimeout = 30 * time.Second
	DefaultMemory  = 1 << 30
	DefaultMaxSize = 1 << 30
	// DefaultNice gives calls priority without starving the compiler: it gets a
	// third of the share of a thread that runs calls.
	DefaultNice = 5
)

// Config configures a compiler. Only Runtime is required.
type Config struct {
	// Runtime returns the configuration that modules are compiled for, without a
	// cache. The child must use the same. It is called wherever modules are
	// compiled, and must return the same each time.
	Runtime func() wazero.RuntimeConfig
	// Command starts the child: program and arguments, such as [Self] returns.
	// Empty means that modules are compiled in this process, unguarded.
	Command []string
	// Env is the child's whole environment. Nothing is inherited.
	Env []string

	// Dir stores compiled modules between runs. It is created with mode 0700.
	// Empty means that they are retained until Close.
	Dir string
	// Private holds the key and the working directories. It must be outside Dir;
	// anyone who can write to it is trusted. Default: Dir + ".private".
	Private string
	// MaxSize bounds Dir, in bytes; the least recently used modules go first.
	// Default: 1 GiB.
	MaxSize int64
	// Needed returns the keys of modules that are removed only when no others are
	// left; see [Report]. It is called when there is something to remove. Nil:
	// there are none.
	Needed func() map[string]bool

	// CPU is the CPU time that a child can use, over all its threads, rounded up
	// to seconds. Each MiB of code adds an eighth of it, and a [Budget] multiplies
	// it. Default: 12 s.
	CPU time.Duration
	// Timeout is how long a child can run. It grows like CPU. Default: 30 s, or two
	// and a half times CPU if that is more.
	Timeout time.Duration
	// Memory is how much a child can use, in bytes. Each MiB of code adds 16 MiB.
	// Default: 1 GiB.
	Memory int64
	// Workers is how many threads compile one module. Default: one per core, at
	// most 4.
	Workers int
	// MaxParallel is how many children run at a time; further modules wait.
	// Default: half the cores, but at least 2, so that one hostile module does not
	// hold up the others, and at most 8.
	MaxParallel int
	// Nice is added to the child's niceness, so that calls have priority; negative
	// means 0. Default: 5.
	Nice int

	// Logger receives what concerns the host: a refused or unreadable entry. Nil
	// discards it.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	cores := runtime.NumCPU()
	c.CPU = cmp.Or(c.CPU, DefaultCPU)
	c.Timeout = cmp.Or(c.Timeout, max(DefaultTimeout, c.CPU*5/2))
	c.Memory = cmp.Or(c.Memory, DefaultMemory)
	c.MaxSize = cmp.Or(c.MaxSize, DefaultMaxSize)
	c.Workers = cmp.Or(c.Workers, min(cores, 4))
	c.MaxParallel = cmp.Or(c.MaxParallel, min(max(cores/2, 2), 8))
	c.Nice = cmp.Or(c.Nice, DefaultNice)
	c.Nice = max(c.Nice, 0)
	if c.Private == "" && c.Dir != "" {
		c.Private = c.Dir + ".private"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Compiler compiles modules and stores the results.
type Compiler struct {
	cfg      Config
	log      *slog.Logger
	identity identity
	sealed   *cache.Cache
	cache    wazero.CompilationCache
	slots    chan struct{} // one for each child that runs
	count    counters

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	flights map[string]*flight // being made
	placed  map[string]*entry  // in the working directory
	spare   *process           // waits for an order; nil if there is none
	failed  failures.List
}

// New returns a compiler. It starts nothing in the background. Its errors are
// about directories: their text names the path.
func New(cfg Config) (*Compiler, error) {
	cfg = cfg.withDefaults()
	if cfg.Runtime == nil {
		return nil, errors.New("compile: Config.Runtime is not set")
	}
	sealed, err := cache.Open(cache.Config{Dir: cfg.Dir, Private: cfg.Private, MaxSize: cfg.MaxSize, Needed: cfg.Needed, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("cache of compiled modules: %w", err)
	}
	c := &Compiler{
		cfg:     cfg,
		log:     cfg.Logger,
		sealed:  sealed,
		slots:   make(chan struct{}, cfg.MaxParallel),
		flights: make(map[string]*flight),
		placed:  make(map[string]*entry),
	}
	if err := c.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("cache of compiled modules: %w", err), sealed.Close())
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c, nil
}

func (c *Compiler) open() (err error) {
	if c.identity, err = identify(c.sealed.Path("probe"), c.cfg.Runtime); err != nil {
		return err
	}
	c.cache, err = wazero.NewCompilationCacheWithDir(c.sealed.Path("code"))
	return err
}

// Cache is where [Compiler.Prepare] puts modules for wazero. It is valid until
// Close.
func (c *Compiler) Cache() wazero.CompilationCache { return c.cache }

// RuntimeConfig returns Config.Runtime with the cache: runtimes that use it
// find the prepared modules. A runtime with other settings would not, and would
// compile the module itself, in this process.
func (c *Compiler) RuntimeConfig() wazero.RuntimeConfig {
	return c.cfg.Runtime().WithCompilationCache(c.cache)
}

// Close kills the children, waits for calls of Prepare, and removes the working
// directory. The runtimes that use the cache must be closed first. Afterwards
// Prepare fails with [ErrClosed].
func (c *Compiler) Close(ctx context.Context) error {
	c.mu.Lock()
	again := c.closed
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.wg.Wait()
	if again {
		return nil
	}
	return errors.Join(c.cache.Close(ctx), c.sealed.Close())
}
