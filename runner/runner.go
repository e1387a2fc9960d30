// Package runner assembles one runner: the process that executes calls.
//
//	r, err := runner.New(ctx, runner.Config{Cluster: "default", Cores: []string{"http://127.0.0.1:7833"}})
//	err = r.Serve(ctx) // attaches to the cores until ctx ends, then drains
//	err = r.Close(ctx)
//
// A runner dials the cores, never the other way round. In a single process
// there is no lane: the core gets an executor from [Runner.Bind] instead, and
// Serve is not called.
//
// # The path of a call
//
//	lane -> admission (bounded) -> plan -> template -> a guest of its own
//
// The plan comes with a preparation, or is fetched once from the core that sent
// the call. The module is fetched from that core by digest, verified and cached
// on disk ([github.com/ruedo-dev/ruedo/runner/modules]). The template is
// compiled once and retained while it is used. A plan whose service has a newer
// one is closed soon after its last call.
//
// # Promises
//
//   - At most Concurrency calls execute and Queue calls wait; one more is
//     refused with QUEUE_FULL, provably not started. The first call of a
//     service never waits for calls of other services: for that, as many again
//     can execute. No call waits longer than its request says: then it is
//     refused with QUEUE_TIMEOUT.
//   - At most Streams calls of kind http are open. One that waits does not
//     count as executing until it continues.
//   - When ctx of Serve ends, the runner stops accepting calls, and those in
//     flight get DrainTimeout to finish.
//   - What guests logged in the last calls is kept within bounds, and read by the
//     cores ([github.com/ruedo-dev/ruedo/runner/logs]).
//   - A lost core is dialled several times a second for 10 s, then at intervals
//     that grow to 5 s, and as soon as the directory lists a new core at its
//     address.
//   - The process knows nothing about the store; its creator can pass a
//     [Directory].
package runner

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/names"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/runner/admission"
	"github.com/ruedo-dev/ruedo/runner/egress"
	"github.com/ruedo-dev/ruedo/runner/identity"
	"github.com/ruedo-dev/ruedo/runner/logs"
)

// Defaults of a config.
const (
	DefaultQueue        = 256
	DefaultStreams      = 1000
	DefaultDrainTimeout = 30 * time.Second
	DefaultMaxPlans     = 256
	DefaultCacheBytes   = 2 << 30
	DefaultPlanGrace    = 10 * time.Second
)

// maxParallel bounds Concurrency, Queue and Streams.
const maxParallel = 1 << 20

// Directory is what a runner can learn from the store.
type Directory interface {
	// Cores sends all cores of the cluster after each change, until ctx ends and
	// the channel is closed.
	Cores(ctx context.Context) <-chan []*ruedov1.Core
	// Register registers the runner until leave is called. It logs that it did.
	Register(ctx context.Context, r *ruedov1.Runner) (leave func(context.Context) error, err error)
}

// Config configures a runner. A zero field means its default.
type Config struct {
	// ID is unique in the cluster. Default: the name and six random characters,
	// which are kept in CacheDir, so that the runner has the same id after a
	// restart.
	ID string
	// Name is human-readable; several runners can share it. Default: derived from
	// the host's name.
	Name string
	// Host is human-readable. Default: the host's name.
	Host string
	// Labels are what services and cores choose runners by; see package labels.
	Labels map[string]string
	// Version is the program's version, human-readable.
	Version string
	// Cluster is the cluster id.
	Cluster string
	// Cores are addresses of cores to attach to, such as
	// "http://127.0.0.1:7833", in addition to those that the directory finds.
	Cores []string
	// Access returns how the runner and the core at a URL know each other. It is asked
	// before each attempt to attach. Default: the zero Access.
	Access func(url string) Access
	// Directory finds cores and registers the runner. If it is nil, the runner
	// knows only Cores, which register it.
	Directory Directory
	// Concurrency is how many calls execute at a time. Default: twice the CPUs
	// that Go uses, because most guests compute and some sleep.
	Concurrency int
	// Queue is how many more calls can wait; a negative value means none. Default:
	// [DefaultQueue].
	Queue int
	// Streams is how many calls of kind http can be open, three quarters of them of
	// one service; a negative value means none. One that waits takes about 0.6 MiB.
	// Default: [DefaultStreams].
	Streams int
	// CacheDir holds modules and compiled code; several runners can share it.
	// Default: a temporary directory, which Close removes.
	CacheDir string
	// CacheBytes bounds what CacheDir holds: a quarter for modules, the rest for
	// compiled code. What was not used for the longest time goes first, but what the
	// plans of live services need goes last. Default: [DefaultCacheBytes].
	CacheBytes int64
	// ModuleRate bounds how fast modules arrive from cores, all together, in bytes
	// per second. Default: 0, which means that it is not bounded.
	ModuleRate int64
	// Compiler starts the process that compiles modules, within limits: program
	// and arguments. That process must only call sandbox.CompileChild. If it is
	// empty, this process compiles, without limits.
	Compiler []string
	// Modules bounds the modules that are loaded. A zero field means its default.
	Modules wasmbin.Limits
	// CompileTime is the processor time that compiling a module can take; see
	// sandbox.Config. Default: that of the sandbox.
	CompileTime time.Duration
	// ShareWith is another runner of this process, whose sandbox this one uses: a
	// module is then fetched, compiled and in memory once for both. That one must be
	// closed after this one, and its CacheDir, CacheBytes, ModuleRate, Modules,
	// Compiler and CompileTime apply. MaxPlanBytes bounds what the plans of both hold. Default: nil,
	// a sandbox of its own.
	ShareWith *Runner
	// MaxPlans is how many plans without calls stay ready. Others are loaded from
	// the compile cache on disk by their next call, which takes tens of
	// milliseconds. Default: [DefaultMaxPlans].
	MaxPlans int
	// MaxPlanBytes bounds what ready plans hold in memory: compiled code, snapshots
	// and idle instances. If there is more, plans without calls are closed, first
	// those whose service has a newer one, then the least recently used ones. Plans
	// with calls count, too. Default: a quarter of the memory of the machine or of
	// the process's cgroup.
	MaxPlanBytes int64
	// PlanGrace is how long a plan stays ready after its last call if its service
	// has used another plan since; it can take up to twice as long. Default:
	// [DefaultPlanGrace].
	PlanGrace time.Duration
	// ServiceLogBytes, LogServices and LogBytes bound what the runner keeps of what
	// guests logged: bytes of one service, number of services, and bytes of all.
	// Default: those of package logs.
	ServiceLogBytes, LogServices, LogBytes int
	// LogSuccesses writes what guests logged in successful calls to Logger, too;
	// what they logged in failed calls is always written.
	LogSuccesses bool
	// Egress bounds what services can be granted to connect to. Default of its Logger:
	// Logger.
	Egress egress.Config
	// DrainTimeout is how much time calls in flight get to finish. Default:
	// [DefaultDrainTimeout].
	DrainTimeout time.Duration
	// Heartbeat and LossTimeout of the lanes. Default: those of package lane.
	Heartbeat, LossTimeout time.Duration
	// Logger receives what operators need to know. Default: discard.
	Logger *slog.Logger
	// Calls receives a line for each call that succeeded. Default: Logger.
	Calls *slog.Logger
}

// Access says how a runner and a core know each other.
type Access = lane.Access

func (cfg Config) withDefaults() Config {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	cfg.Host = cmp.Or(cfg.Host, host)
	cfg.Name = cmp.Or(cfg.Name, identity.Sanitize(cfg.Host))
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 2*runtime.GOMAXPROCS(0))
	cfg.Queue = max(cmp.Or(cfg.Queue, DefaultQueue), 0)
	cfg.Streams = max(cmp.Or(cfg.Streams, DefaultStreams), 0)
	cfg.MaxPlans = cmp.Or(max(cfg.MaxPlans, 0), DefaultMaxPlans)
	cfg.MaxPlanBytes = cmp.Or(max(cfg.MaxPlanBytes, 0), defaultPlanBytes())
	cfg.CacheBytes = cmp.Or(max(cfg.CacheBytes, 0), DefaultCacheBytes)
	cfg.PlanGrace = cmp.Or(max(cfg.PlanGrace, 0), DefaultPlanGrace)
	cfg.DrainTimeout = cmp.Or(max(cfg.DrainTimeout, 0), DefaultDrainTimeout)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Access == nil {
		cfg.Access = func(string) Access { return Access{} }
	}
	return cfg
}

// check returns CONFIG_INVALID if cfg is not valid.
func (cfg Config) check() error {
	if !names.Valid(cfg.ID) {
		return fault.New(fault.ConfigInvalid, "runner id %.80q is not valid: it must match %s", cfg.ID, names.Pattern).
			WithFix("use lower-case letters, digits and hyphens, or leave it out")
	}
	if cfg.Concurrency < 0 || max(cfg.Concurrency, cfg.Queue, cfg.Streams) > maxParallel {
		return fault.New(fault.ConfigInvalid, "concurrency %d, queue %d or streams %d is out of range: the maximum is %d", cfg.Concurrency, cfg.Queue, cfg.Streams, maxParallel).
			WithFix("set runner.concurrency, runner.queue and runner.streams within the range, or leave them out")
	}
	if err := labels.Check(cfg.Labels); err != nil {
		return fault.Wrap(err, fault.ConfigInvalid, "%s", err).WithFix("set runner.labels, for example to %s", labels.Example)
	}
	return nil
}

// Runner is one runner. It is safe for concurrent use.
type Runner struct {
	cfg       Config
	log       *slog.Logger
	info      *ruedov1.Runner
	admission *admission.Queue[*prepared]
	engine    *engine
	plans     *plans
	egress    *egress.Egress
	logs      *logs.Logs // of guests
	// closers undo what was opened, in reverse order.
	closers []func(context.Context) error
}

// New opens the caches and the sandbox. It attaches to nothing; ctx bounds only
// the opening. The expected errors are CONFIG_INVALID and DATA_DIR.
func New(ctx context.Context, cfg Config) (*Runner, error) {
	cfg = cfg.withDefaults()
	release := func() {}
	if cfg.ID == "" {
		cfg.ID, release = claim(cfg)
	}
	if err := cfg.check(); err != nil {
		release()
		return nil, err
	}
	r := &Runner{cfg: cfg, log: cfg.Logger, info: describe(cfg)}
	r.onClose(func(context.Context) error { release(); return nil })
	r.admission = admission.New[*prepared](admission.Config{Runner: cfg.ID, Concurrency: cfg.Concurrency, Queue: cfg.Queue, Streams: cfg.Streams})
	r.logs = logs.New(logs.Config{
		Runner: cfg.ID, ServiceBytes: cfg.ServiceLogBytes, Services: cfg.LogServices, TotalBytes: cfg.LogBytes,
		Successes: cfg.LogSuccesses, Logger: cfg.Logger, Calls: cfg.Calls,
	})
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(err, r.undo(ctx))
	}
	return r, nil
}

// claim returns the id of a runner that is not told which one to have. Call
// release when the runner has ended.
func claim(cfg Config) (id string, release func()) {
	dir := ""
	if cfg.CacheDir != "" {
		dir = filepath.Join(cfg.CacheDir, "runners")
	}
	return identity.Claim(dir, cfg.Name)
}

func describe(cfg Config) *ruedov1.Runner {
	return &ruedov1.Runner{
		Id: cfg.ID, Name: cfg.Name, Host: cfg.Host, Version: cfg.Version, StartTime: timestamppb.Now(),
		Concurrency: uint32(cfg.Concurrency), Queue: uint32(cfg.Queue), Streams: uint32(cfg.Streams), Labels: cfg.Labels,
	}
}

// onClose registers undo for Close, which calls the last one first.
func (r *Runner) onClose(undo func(context.Context) error) { r.closers = append(r.closers, undo) }

// open creates the parts of a runner, each after those that it needs, and
// registers how each of them ends.
func (r *Runner) open(ctx context.Context) (err error) {
	dir := r.cfg.CacheDir
	if dir == "" && r.cfg.ShareWith == nil {
		if dir, err = os.MkdirTemp("", "ruedo-runner-"); err != nil {
			return fault.Wrap(err, fault.DataDir, "cannot create a temporary directory: %s", err).WithFix("set another directory (runner.cache_dir)")
		}
		r.onClose(func(context.Context) error { return os.RemoveAll(dir) })
	}

	if other := r.cfg.ShareWith; other != nil {
		r.engine = other.engine
	} else {
		if r.engine, err = newEngine(ctx, r.cfg, dir); err != nil {
			return err
		}
		r.onClose(r.engine.Close)
	}

	outbound := r.cfg.Egress
	outbound.Logger = cmp.Or(outbound.Logger, r.log)
	if r.egress, err = egress.New(outbound); err != nil {
		return err
	}

	r.plans = newPlans(plansConfig{
		engine: r.engine.Engine, modules: r.engine.modules, egress: r.egress, unstarted: r.unstarted,
		maxPlans: r.cfg.MaxPlans, maxBytes: r.cfg.MaxPlanBytes, grace: r.cfg.PlanGrace, log: r.log, logs: r.logs,
	})
	leave := r.engine.enter(r.plans)
	r.onClose(func(ctx context.Context) error { leave(); return r.plans.close(ctx) })
	return nil
}

// Info returns how the runner introduces itself. The caller may change it.
func (r *Runner) Info() *ruedov1.Runner { return proto.CloneOf(r.info) }

// DenyCores sets the URLs of the cores that no service connects to, unless Egress
// has a deny list without them. Serve sets those that it attaches to.
func (r *Runner) DenyCores(urls []string) { r.egress.SetCores(urls) }

// PlanUsage returns how many plans are ready, and what they take.
func (r *Runner) PlanUsage() *ruedov1.PlanUsage {
	n, bytes := r.plans.usage()
	return &ruedov1.PlanUsage{Plans: uint32(n), MemoryBytes: uint64(bytes), MemoryLimitBytes: uint64(r.cfg.MaxPlanBytes)}
}

// Close stops accepting calls, waits for those in flight and releases what New
// opened. If ctx ends first, it returns ctx's error and can be called again.
// Call it after Serve has returned.
func (r *Runner) Close(ctx context.Context) error {
	r.admission.Close()
	r.plans.stop() // loads in flight end, and so do the calls that wait for them
	if err := r.admission.Wait(ctx); err != nil {
		return err
	}
	return r.undo(ctx)
}

// undo releases what was opened.
func (r *Runner) undo(ctx context.Context) error {
	var errs []error
	for _, undo := range slices.Backward(r.closers) {
		errs = append(errs, undo(ctx))
	}
	r.closers = nil
	return errors.Join(errs...)
}
