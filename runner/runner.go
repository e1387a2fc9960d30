// Package runner assembles one runner: the process that executes.
//
//	r, err := runner.New(ctx, runner.Config{Cluster: "default", Cores: []string{"http://127.0.0.1:7833"}})
//	err = r.Serve(ctx) // attaches to the cores until ctx ends, then drains
//	err = r.Close(ctx)
//
// A runner dials the cores, never the other way round. In a single process
// there is no lane: the core gets an executor from [Runner.Bind] instead, and
// Serve is not called.
//
// # What a call meets
//
//	lane -> admission (bounded) -> plan -> template -> a guest of its own
//
// The plan comes with a preparation, or is asked for once from the core that
// sent the call; the module comes by digest from that core, is verified and
// kept on disk ([github.com/ruedo-dev/ruedo/runner/modules]); the template is
// compiled once and kept as long as it is used. A plan whose service has a newer
// one goes soon after its last call.
//
// # Promises
//
//   - At most Concurrency calls execute and Queue calls wait; one more is
//     refused with QUEUE_FULL, provably not started. No service waits for the
//     calls of others with its first one: for that, as many again can execute.
//   - When ctx of Serve ends, the runner stops accepting calls, and those in flight
//     get DrainTimeout to finish.
//   - A core that was lost is dialled several times a second for 10 s, then at
//     intervals that grow to 5 s, and at the moment when the directory lists a new
//     core at its address.
//   - The process knows nothing of the store: whoever assembles it may hand in
//     a [Directory].
package runner

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/runner/admission"
	"github.com/ruedo-dev/ruedo/runner/modules"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// Defaults of a config.
const (
	DefaultQueue        = 256
	DefaultDrainTimeout = 30 * time.Second
	DefaultMaxPlans     = 256
	DefaultMaxPlanBytes = 1 << 30
	DefaultPlanGrace    = 10 * time.Second
)

// maxParallel bounds Concurrency and Queue.
const maxParallel = 1 << 20

// Directory is what a runner may be told by the store.
type Directory interface {
	// Cores sends the cores of the cluster, all of them after each change,
	// until ctx ends and the channel is closed.
	Cores(ctx context.Context) <-chan []*ruedov1.Core
	// Register enters the runner until leave is called. It logs that it did.
	Register(ctx context.Context, r *ruedov1.Runner) (leave func(context.Context) error, err error)
}

// Config says what a runner is and does. The zero value of a field is its
// default.
type Config struct {
	// ID is unique in the cluster; the default is the name and six random
	// characters.
	ID string
	// Name is for people, several runners may share it; the default is made
	// of the host's name.
	Name string
	// Host is shown to people; the default is the host's name.
	Host string
	// Version of the program, shown to people.
	Version string
	// Cluster is the cluster id.
	Cluster string
	// Cores are addresses of cores to attach to, such as
	// "http://127.0.0.1:7833", besides those that the directory finds.
	Cores []string
	// Directory finds cores and registers the runner; nil means that it knows
	// only Cores and that these register it.
	Directory Directory
	// Concurrency is how many calls execute at a time. The default is twice the
	// CPUs that Go uses: most guests compute, some sleep.
	Concurrency int
	// Queue is how many calls may wait besides these; DefaultQueue. Below
	// zero means none.
	Queue int
	// CacheDir keeps modules and compiled code; several runners may share it.
	// Empty means a temporary folder that goes with the runner.
	CacheDir string
	// Compiler starts the process that compiles modules, within limits: program
	// and arguments. That process does nothing but call sandbox.CompileChild.
	// Empty means that this process compiles, and nothing bounds it.
	Compiler []string
	// CPUSlots bound how many guests run at a time, if several runners share a
	// process. Nil means slots for this runner alone.
	CPUSlots *sandbox.CPUSlots
	// MaxPlans is how many plans stay ready although they have no calls;
	// DefaultMaxPlans. Others come back from the compile cache on disk with their
	// next call, which takes tens of milliseconds.
	MaxPlans int
	// MaxPlanBytes bounds what ready plans hold in memory: compiled code, snapshots
	// and idle instances; DefaultMaxPlanBytes. Plans without calls go when there is
	// more, those first whose service has a newer one.
	MaxPlanBytes int64
	// PlanGrace is how long a plan stays ready after its last call when its service
	// has used another plan since; DefaultPlanGrace. It may stay for twice as long.
	PlanGrace time.Duration
	// DrainTimeout is how long calls in flight get to finish; DefaultDrainTimeout.
	DrainTimeout time.Duration
	// Heartbeat and LossTimeout of the lanes; zero means the defaults of
	// package lane.
	Heartbeat, LossTimeout time.Duration
	// Logger; nil discards.
	Logger *slog.Logger
}

// Runner is one runner. It may be used from many goroutines.
type Runner struct {
	cfg     Config
	log     *slog.Logger
	info    *ruedov1.Runner
	engine  *sandbox.Engine
	modules *modules.Cache
	plans   *plans
	tempDir string

	admission *admission.Queue[*prepared]
}

// New opens the caches and the sandbox. It attaches to nothing; ctx bounds the
// opening only. CONFIG_INVALID and DATA_DIR are the errors to expect.
func New(ctx context.Context, cfg Config) (*Runner, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	r := &Runner{cfg: cfg, log: cfg.Logger}
	r.info = &ruedov1.Runner{
		Id: cfg.ID, Name: cfg.Name, Host: cfg.Host, Version: cfg.Version,
		StartTime:   timestamppb.Now(),
		Concurrency: uint32(cfg.Concurrency),
		Queue:       uint32(cfg.Queue),
	}
	r.admission = admission.New[*prepared](admission.Config{Runner: cfg.ID, Concurrency: cfg.Concurrency, Queue: cfg.Queue})
	dir := cfg.CacheDir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "ruedo-runner-"); err != nil {
			return nil, fault.Wrap(err, fault.DataDir, "cannot make a temporary directory: %s", err).WithFix("name one (runner.cache_dir)")
		}
		r.tempDir = dir
	}
	var err error
	if r.modules, err = modules.Open(modules.Config{Dir: filepath.Join(dir, "modules"), Logger: cfg.Logger}); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	r.engine, err = sandbox.New(context.WithoutCancel(ctx), sandbox.Config{
		CacheDir: filepath.Join(dir, "compiled"), Compiler: cfg.Compiler, CPUSlots: cfg.CPUSlots, Logger: cfg.Logger,
	})
	if err != nil {
		err = fault.Wrap(err, fault.DataDir, "the sandbox cannot be opened: %s", err).WithFix("choose another directory (runner.cache_dir)")
		return nil, errors.Join(err, r.Close(ctx))
	}
	r.plans = newPlans(plansConfig{
		engine: r.engine, modules: r.modules,
		maxPlans: cfg.MaxPlans, maxBytes: cfg.MaxPlanBytes, grace: cfg.PlanGrace, log: cfg.Logger,
	})
	return r, nil
}

func (cfg *Config) complete() error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "localhost"
		}
		cfg.Host = host
	}
	if cfg.Name == "" {
		cfg.Name = sanitize(cfg.Host)
	}
	if cfg.ID == "" {
		cfg.ID = newID(cfg.Name)
	}
	if !lane.ValidID(cfg.ID) {
		return fault.New(fault.ConfigInvalid, "runner id %.80q is not valid: it must match ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", cfg.ID).
			WithFix("use lower-case letters, digits and hyphens, or leave it out")
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 2 * runtime.GOMAXPROCS(0)
	}
	if cfg.Queue == 0 {
		cfg.Queue = DefaultQueue
	}
	cfg.Queue = max(cfg.Queue, 0)
	if cfg.Concurrency < 0 || cfg.Concurrency > maxParallel || cfg.Queue > maxParallel {
		return fault.New(fault.ConfigInvalid, "concurrency %d and queue %d are not possible: the bounds are 1 to %d, and %[3]d", cfg.Concurrency, cfg.Queue, maxParallel).
			WithFix("set runner.concurrency and runner.queue within them, or leave them out")
	}
	if cfg.MaxPlans <= 0 {
		cfg.MaxPlans = DefaultMaxPlans
	}
	if cfg.MaxPlanBytes <= 0 {
		cfg.MaxPlanBytes = DefaultMaxPlanBytes
	}
	if cfg.PlanGrace <= 0 {
		cfg.PlanGrace = DefaultPlanGrace
	}
	if cfg.DrainTimeout <= 0 {
		cfg.DrainTimeout = DefaultDrainTimeout
	}
	return nil
}

// Info is how the runner introduces itself. The caller may change it.
func (r *Runner) Info() *ruedov1.Runner { return proto.CloneOf(r.info) }

// Close stops accepting calls, waits for those in flight and releases what New
// opened. If ctx ends first, it returns ctx's error and can be called again.
// Call it after Serve has returned.
func (r *Runner) Close(ctx context.Context) error {
	r.admission.Close()
	if r.plans != nil {
		r.plans.stop() // loads in flight end, and the calls that wait for them
	}
	if err := r.admission.Wait(ctx); err != nil {
		return err
	}
	var errs []error
	if r.plans != nil {
		errs = append(errs, r.plans.close(ctx))
	}
	if r.modules != nil {
		r.modules.Close()
	}
	if r.engine != nil {
		errs = append(errs, r.engine.Close(ctx))
	}
	if r.tempDir != "" {
		errs = append(errs, os.RemoveAll(r.tempDir))
	}
	return errors.Join(errs...)
}
